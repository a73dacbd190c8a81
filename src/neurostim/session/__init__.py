"""The running of one stimulation session, its journal and its recovery after a crash."""
