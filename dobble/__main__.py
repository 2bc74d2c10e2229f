"""Runs the command line as `python -m dobble`."""

from dobble.cli.main import main

main()
