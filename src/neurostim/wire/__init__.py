"""The native protocol without any I/O: frames, messages, program images."""
