"""``python -m neurostim``: the same as the ``neurostim`` command."""

from neurostim.cli.main import main

main()
