import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def run_shuffled(*options: str) -> str:
    command = [sys.executable, "-m", "pytest", *options, "tests/registry/test_lead_interval.py"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_workers_agree_on_the_order_that_was_picked():
    # Each parses the command line itself: one seed each, and xdist refuses to begin.
    assert re.search(r"--shuffle=[1-9]\d*", run_shuffled("--numprocesses", "2", "--shuffle=0"))


def test_a_seed_repeats_its_order():
    first, again, other = (run_shuffled("--collect-only", "-q", f"--shuffle={seed}") for seed in (3, 3, 4))
    orders = [[line for line in text.splitlines() if "::" in line] for text in (first, again, other)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
