"""Writes lines to a log that may be full or gone, which must never stop whoever has something to say."""

import os
import sys
import traceback
from typing import TextIO

from jetson.errors import JetsonError


def say(line: str) -> None:
    """Write a line to the log; it is lost where the log takes none."""
    write(sys.stderr, line)


def say_error(who: str, error: Exception) -> None:
    """Write a failure to the log: a sentence if it has one, else all that helps to mend our mistake."""
    if not isinstance(error, JetsonError):
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        say("".join(lines).rstrip())
    say("{}: {}".format(who, describe(error)))


def describe(error: Exception) -> str:
    """Return a failure as one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, JetsonError) else "{} ({})".format(type(error).__name__, text)


def write(stream: TextIO, line: str) -> None:
    """Write a line to a stream; it is lost where that is full or closed."""
    try:
        stream.write(line + "\n")
        stream.flush()
    except (OSError, ValueError):
        pass


def close() -> None:
    """Give up lines that cannot be written, for which the interpreter would end with exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
