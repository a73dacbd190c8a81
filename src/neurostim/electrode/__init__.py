"""Leads and contacts as data, current sharing, and the circuit between contact and tissue."""
