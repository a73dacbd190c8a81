"""The command line: thin, one file a command, heavy imports only where they are used."""
