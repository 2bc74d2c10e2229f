"""Turns what would help into a command that works as this package is installed here."""

import os
import pwd
import sys

FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def installed() -> bool:
    """Tell whether the installer put this package here: then its environment lies beside it."""
    return os.path.realpath(sys.prefix) == os.path.realpath(os.path.join(FOLDER, "venv"))


def verb(words: str) -> str:
    """Return the command that runs a verb of this package."""
    return "{} {}".format("sudo dobble-device" if installed() else "python3 -m jetson", words)


def pip(words: str) -> str:
    """Return pip's command for the environment that this package runs in."""
    return "{} -m pip {}".format("sudo " + sys.executable if installed() else "python3", words)


def join_group(group: str) -> str:
    """Return the commands that let this user into a group."""
    name = pwd.getpwuid(os.geteuid()).pw_name
    after = "sudo systemctl restart dobble" if installed() else "log in again"
    return "sudo usermod -aG {} {}, then {}".format(group, name, after)
