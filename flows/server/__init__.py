"""Prefect on this machine: its server, worker, database and pages, and a flow in this process."""
