"""Stimulators behind one interface; one IO thread a link."""
