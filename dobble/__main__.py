"""Runs the command line as `python -m dobble`."""

from dobble.cli import main

main()
