"""Carriers of bytes: serial, socket and in-process links behind one registry of URLs."""
