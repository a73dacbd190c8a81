"""Limits, rules and the gate that turns a schedule into an approved program."""
