"""The simulated stimulator: firmware behaviour, electrode, tissue and faults in virtual time."""
