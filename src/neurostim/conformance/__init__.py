"""The independent judge: a delivered trace against a program, written from the format alone."""

from neurostim.conformance.judge import judge
from neurostim.conformance.reader import read_trace
from neurostim.conformance.report import Check, ClockFit, Place, Report
from neurostim.conformance.trace import TraceTable

__all__ = ["Check", "ClockFit", "Place", "Report", "TraceTable", "judge", "read_trace"]
