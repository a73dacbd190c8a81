"""Writes records as files, plainly, so that the judge's reader is tested against another hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = (
    "start_ns",
    "duration_ns",
    "contact",
    "kind",
    "amplitude_na",
    "area",
    "unit",
    "pulse",
    "charge_ac",
)


def write_csv(path: Path, rows: Sequence[Sequence[Any]], sidecar: Mapping[str, Any]) -> Path:
    names = COLUMNS[: len(rows[0]) if rows else 9]
    lines = [",".join(names), *(",".join(str(item) for item in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="")
    path.with_suffix(".json").write_text(json.dumps(dict(sidecar)), encoding="utf-8")
    return path


def arrays(rows: Sequence[Sequence[Any]]) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    for index, name in enumerate(COLUMNS[: len(rows[0])]):
        column = [row[index] for row in rows]
        out[name] = np.array(column) if name in ("contact", "kind") else np.array(column, dtype=np.int64)
    return out


def write_npz(path: Path, columns: Mapping[str, np.ndarray], sidecar: Mapping[str, Any]) -> Path:
    np.savez(path, **columns)
    path.with_suffix(".json").write_text(json.dumps(dict(sidecar)), encoding="utf-8")
    return path
