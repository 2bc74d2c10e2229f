"""The device's command line: `python3 -m jetson VERB`, each verb a module that is imported when asked for."""

import argparse
import importlib
import os
import platform
import sys
from typing import List, Optional

from jetson.errors import JetsonError

VERBS = {
    "fetch": (
        "fetch.command",
        "take a bundle from MLflow, a folder or an archive, or the one before",
    ),
    "doctor": ("board.doctor", "say what this board is and has, what is missing and how to mend it"),
    "monitor": ("board.monitor", "print power, temperatures, clocks and memory as JSON lines"),
    "benchmark": ("bench.command", "measure the runtimes that this device has and choose one"),
    "serve": ("live.command", "play live: camera, web page and HTTP API"),
    "play": ("play.command", "turn a picture, video or camera into an annotated one on disk"),
}


def main(argv: Optional[List[str]] = None) -> int:
    """Run one verb and return its exit code; a failure that the user can mend is one line and 1.

    The module of a verb has two functions: `add_arguments(parser)` and `run(arguments) -> int`.
    """
    if platform.machine() == "aarch64":  # of its own guess numpy 1.19.5 dies on a Nano
        os.environ.setdefault("OPENBLAS_CORETYPE", "ARMV8")
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="python3 -m jetson",
        description="Plays Dobble on this device.",
        epilog="\n".join("  {:<11}{}".format(verb, does) for verb, (_, does) in VERBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=list(VERBS), metavar="VERB", help="one of the verbs below")
    verb = parser.parse_args(arguments[:1]).verb
    name, does = VERBS[verb]
    module = importlib.import_module("jetson." + name)
    verb_parser = argparse.ArgumentParser(
        prog="python3 -m jetson " + verb, description="{}.".format(does.capitalize())
    )
    module.add_arguments(verb_parser)
    try:
        return int(module.run(verb_parser.parse_args(arguments[1:])))
    except JetsonError as error:
        sys.stderr.write("error: {}\n".format(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
