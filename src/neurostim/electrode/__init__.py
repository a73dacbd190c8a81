"""Leads and contacts as data, and the circuit between contacts and tissue."""
