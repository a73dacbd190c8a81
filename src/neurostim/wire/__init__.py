"""The native protocol, without I/O: framing, messages, program images. Shared with the simulator.

The definition is in ``protocols/wire``: ``specification.md`` (prose), ``messages.toml`` (every message,
from which `neurostim.wire.messages` is generated) and ``golden/`` (vectors derived by hand).
"""
