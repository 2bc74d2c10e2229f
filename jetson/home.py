"""Where a device keeps its bundle, its engines and its choice of a runtime."""

import os

VARIABLE = "DOBBLE_DEVICE_HOME"


def home() -> str:
    """Return the folder of all that this device keeps: `DOBBLE_DEVICE_HOME`, else `~/.dobble`."""
    return os.environ.get(VARIABLE, "").strip() or os.path.join(os.path.expanduser("~"), ".dobble")


def bundle_folder() -> str:
    """Return where the bundle in use is found: a link to one of `bundles/`, switched atomically."""
    return os.path.join(home(), "bundle")


def bundles_folder() -> str:
    """Return where the bundles lie that `bundle_folder` is switched among."""
    return os.path.join(home(), "bundles")


def engine_folder() -> str:
    """Return where engines built on this device are cached."""
    return os.path.join(home(), "engines")


def choice_file() -> str:
    """Return where the benchmark leaves its verdict and the server reads it."""
    return os.path.join(home(), "choice.json")
