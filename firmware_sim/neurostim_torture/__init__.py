"""Deterministic torture of host and device together, judged by a monitor that shares no code with either."""
