"""Measures the runtimes of a device against each other and chooses one."""
