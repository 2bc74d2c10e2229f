"""Turns a module of this package into the command and environment of a process of its own."""

import os
import sys
from typing import Dict, List


def module_command(name: str) -> List[str]:
    """Return the command that runs a module of this package with this interpreter."""
    return [sys.executable, "-m", name]


def child_environment() -> Dict[str, str]:
    """Return this process's environment with the package's folder on the path, wherever the child starts."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [package, os.environ.get("PYTHONPATH", "")]
    return dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in paths if path))
