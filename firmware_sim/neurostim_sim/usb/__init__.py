"""The simulated stimulator as a USB device: descriptors, packets, and its way over USB/IP; no I/O here."""
