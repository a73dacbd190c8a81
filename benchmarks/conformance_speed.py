"""Rows judged a second: ten million rows of HF10, and reading them back, against plain numpy on the table."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from neurostim.conformance import TraceTable, judge, read_trace

PERIOD_NS, WIDTH_NS, GAP_NS = 100_000, 30_000, 20_000
PROGRAM: dict[str, Any] = {
    "format": "neurostim-program/1",
    "name": "HF10 for the clock",
    "therapy": "bench",
    "area": [
        {
            "amplitude": "3 mA",
            "contacts": {"3": "-100 %", "5": "+100 %"},
            "pulse": {"width": "30 us", "interphase": "20 us", "recharge": "active-symmetric"},
            "train": {"rate": "10 kHz"},
            "ramp": {"up": "0 s", "down": "0 s"},
        }
    ],
}


def table(rows: int) -> tuple[TraceTable, dict[str, Any]]:
    """The table such a program writes, made here by four strides and not by the compiler."""
    pulses = rows // 4
    start = np.arange(pulses, dtype=np.int64)[:, None] * PERIOD_NS + np.array([0, 0, 50_000, 50_000])
    shape = (pulses, 4)

    def column(values: list[int], kind: Any) -> Any:
        return np.broadcast_to(np.array(values, dtype=kind), shape).ravel()

    trace = TraceTable(
        start_ns=start.ravel(),
        duration_ns=np.full(4 * pulses, WIDTH_NS, dtype=np.int64),
        contact=column([0, 1, 0, 1], np.int16),
        labels=("3", "5"),
        kind=column([0, 0, 1, 1], np.int8),
        amplitude_na=column([-3_000_000, 3_000_000, 3_000_000, -3_000_000], np.int64),
    )
    sidecar = {
        "format": "neurostim-events/1",
        "tick_ns": 1000,
        "step_na": 10_000,
        "guard_ticks": 20,
        "recovery_min_ticks": 400,
        "time_base": "program",
        "contacts": "program",
        "end_ticks": pulses * PERIOD_NS // 1000,
        "rows": 4 * pulses,
        "commands": [],
    }
    return trace, sidecar


def write_csv(path: Path, trace: TraceTable, sidecar: dict[str, Any]) -> None:
    """A CSV of the table with its sidecar."""
    import json

    names = np.array(["stim", "recharge", "passive"])
    with path.open("w", encoding="ascii") as out:
        out.write("start_ns,duration_ns,contact,kind,amplitude_na\n")
        for low in range(0, len(trace), 1 << 18):
            part = slice(low, low + (1 << 18))
            columns = (
                trace.start_ns[part].tolist(),
                trace.duration_ns[part].tolist(),
                [trace.labels[i] for i in trace.contact[part]],
                names[trace.kind[part]].tolist(),
                trace.amplitude_na[part].tolist(),
            )
            out.writelines(f"{a},{b},{c},{d},{e}\n" for a, b, c, d, e in zip(*columns, strict=True))
    path.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")


def main() -> None:
    """Print seconds, rows a second and the ratio to plain numpy, from one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--csv-rows", type=int, default=2_000_000)
    options = parser.parse_args()
    small, small_side = table(40_000)
    assert judge(PROGRAM, small, small_side).conforms  # compiles the kernels
    trace, sidecar = table(options.rows)
    begin = time.perf_counter()
    report = judge(PROGRAM, trace, sidecar)
    judged = time.perf_counter() - begin
    assert report.conforms, report.to_text()
    begin = time.perf_counter()
    order = np.lexsort((trace.contact, trace.start_ns))
    sorting = time.perf_counter() - begin
    del order
    rate = len(trace) / judged / 1e6
    print(f"judge     {len(trace):>10} rows  {judged:6.2f} s  {rate:6.2f} M rows/s")
    print(f"np.lexsort of the same table {sorting:6.2f} s; judging takes {judged / sorting:.2f} x that")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        trace, sidecar = table(options.csv_rows)
        write_csv(path, small, small_side)
        read_trace(path)
        write_csv(path, trace, sidecar)
        begin = time.perf_counter()
        read, _ = read_trace(path)
        reading = time.perf_counter() - begin
        assert np.array_equal(read.start_ns, trace.start_ns)
        begin = time.perf_counter()
        np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1, 4), dtype=np.int64, max_rows=200_000)
        numpy_reading = (time.perf_counter() - begin) * len(trace) / 200_000
        print(
            f"read CSV  {len(trace):>10} rows  {reading:6.2f} s  {len(trace) / reading / 1e6:6.2f} M rows/s"
        )
        print(
            f"np.loadtxt of three columns, scaled {numpy_reading:6.2f} s; ratio {numpy_reading / reading:.1f}"
        )


if __name__ == "__main__":
    main()
