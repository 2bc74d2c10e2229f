"""Compares `dobble push` with a plain copy by the S3 server's own client: whole commands, fresh buckets."""

import argparse
import os
import random
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine import machine, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
server = runpy.run_path(str(HERE.parent / "tests" / "s3_server.py"))


def main() -> None:
    """Print the table; exit with 1 if a push takes more than twice the time of a copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--kilobytes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    said = machine()
    with tempfile.TemporaryDirectory(prefix="dobble-") as name:
        seconds = measure(Path(name), arguments.photos, arguments.kilobytes, arguments.rounds)
    print(f"Push of {arguments.photos} photos of {arguments.kilobytes} kB to rclone serve s3 on {said}\n")
    copies = seconds["rclone copy"]
    ratios = {
        command: statistics.median(one / copy for one, copy in zip(rounds, copies, strict=True))
        for command, rounds in seconds.items()
    }
    rows = [
        (
            command,
            f"{statistics.median(rounds):.2f}",
            ", ".join(f"{value:.2f}" for value in rounds),
            f"{ratios[command]:.2f}",
        )
        for command, rounds in seconds.items()
    ]
    print_table(("command", "seconds (median)", "each round (s)", "of the copy in the same round"), rows)
    ratio = ratios["dobble push"]
    print(f"\nbar: at most twice the copy: {'reached' if ratio <= 2 else 'missed'} ({ratio:.2f})")
    sys.exit(ratio > 2)


def measure(folder: Path, photos: int, kilobytes: int, rounds: int) -> dict[str, list[float]]:
    """Run the commands in turn, each into a bucket of its own."""
    project = folder / "project"
    os.environ.update(
        AWS_ACCESS_KEY_ID=server["KEY"],
        AWS_SECRET_ACCESS_KEY=server["SECRET"],
        DVC_SITE_CACHE_DIR=str(folder / "site"),
        DVC_NO_ANALYTICS="1",
        # Byte-code is kept, as after an installation.
        PYTHONPYCACHEPREFIX=str(folder / "pycache"),
    )
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    write_project(project, photos, kilobytes)
    runs: dict[str, Callable[[Any, str], list[str]]] = {
        "rclone copy": lambda running, bucket: rclone_copy(running, project / "data", bucket),
        "dobble push": lambda *_: [sys.executable, "-m", "dobble", "push"],
        "dvc push": lambda *_: [sys.executable, "-m", "dvc", "push", "--run-cache"],
    }
    buckets = [f"bucket-{index}" for index in range(rounds * len(runs))]
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with server["s3_server"](folder / "server", ("first", *buckets)) as running:
        use_bucket(project, running.endpoint, "first")
        run(runs["dobble push"](running, "first"), project)
        run(runs["dvc push"](running, "first"), project)
        for _ in range(rounds):
            for name, command in runs.items():
                bucket = buckets.pop()
                use_bucket(project, running.endpoint, bucket)
                start = time.perf_counter()
                run(command(running, bucket), project)
                seconds[name].append(time.perf_counter() - start)
                sent = len(running.objects(bucket))
                assert sent >= photos, f"{name} sent {sent} of {photos} photos"
    return seconds


def write_project(project: Path, photos: int, kilobytes: int) -> None:
    """Make a DVC project whose data/ is random bytes."""
    images = project / "data" / "images"
    images.mkdir(parents=True)
    generator = random.Random(0)
    for number in range(photos):
        (images / f"{number:05}.jpg").write_bytes(generator.randbytes(kilobytes * 1000))
    run(["git", "init", "--quiet"], project)
    run([sys.executable, "-m", "dvc", "init", "--quiet"], project)
    run([sys.executable, "-m", "dvc", "add", "--quiet", "data"], project)


def use_bucket(project: Path, endpoint: str, bucket: str) -> None:
    """Point the project at another bucket."""
    stack = project / "stack.yaml"
    stack.write_text(f"remote: {{url: 's3://{bucket}/dvc', endpointurl: '{endpoint}', region: us-east-1}}\n")
    run(
        [sys.executable, "-c", "from dobble.storage.stack import use_stack; use_stack('stack.yaml')"], project
    )


def rclone_copy(running: Any, source: Path, bucket: str) -> list[str]:
    """Say the command that copies a folder with the client's own settings."""
    remote = f":s3,provider=Rclone,env_auth=true,endpoint='{running.endpoint}':{bucket}/data"
    return [server["rclone"](), "--config", "", "copy", str(source), remote]


def run(command: list[str], folder: Path) -> None:
    """Run a command that must succeed and say nothing."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout.decode(errors='replace')}")


if __name__ == "__main__":
    main()
