"""Runs tests on a machine that is several times slower: beside two busy processes for each processor.

    python tests/slowed.py [arguments of pytest]

Without arguments: what waits for processes, servers and browsers, which a slow machine puts to the test.
"""

import os
import subprocess
import sys

WAITING = (
    "tests/storage/test_supervised_command.py",
    "tests/pipeline/test_stages.py::test_second_runner_waits_and_says_for_whom",
    "tests/sources/test_labelbox.py::test_what_does_not_pass_is_one_line_and_the_earlier_data_stays",
    "tests/flows/server/test_api.py",
    "jetson/tests/live/test_stream.py",
    "jetson/tests/live/test_page.py",
)
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    pass"


def main() -> int:
    """Give the exit status of pytest."""
    count = 2 * len(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    os.nice(3)
    try:
        arguments = sys.argv[1:] or ["-q", "--shuffle=0", *WAITING]
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    finally:
        for process in busy:
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
