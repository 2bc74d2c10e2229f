"""Names a project's commit as another machine can fetch it, and refuses what would be other code there."""

import subprocess
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from dobble.pipeline.errors import RevisionError

PINS = ("data.dvc", "dvc.lock")
"""They say what data and results are, not what code is, and change with every run."""


class Revision(NamedTuple):
    """Where to clone a project from, without credentials, and which commit to check out."""

    repository: str
    commit: str


def pushed_revision(root: Path = Path()) -> Revision:
    """Give the commit that a project stands at.

    Raises:
        RevisionError: if files differ from the commit, or no remote has it.
    """
    commit = _git(root, "rev-parse", "HEAD")
    pathspec = [".", ":!build", *(f":!{name}" for name in PINS)]
    changed = _git(root, "status", "--porcelain", "--", *pathspec).splitlines()
    if changed:
        raise RevisionError(f"{changed[0][2:].strip()} is not committed: commit and push it")
    branches = _git(root, "branch", "--remotes", "--contains", commit, "--format=%(refname:lstrip=2)").split()
    if not branches:
        raise RevisionError(f"commit {commit[:8]} is on no remote: `git push` it")
    address = _git(root, "remote", "get-url", branches[0].partition("/")[0])
    return Revision(_without_credentials(address), commit)


def _without_credentials(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"}:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)  # noqa: S603
    except OSError as error:
        raise RevisionError(f"git cannot be run ({error.strerror}): install it") from error
    except subprocess.CalledProcessError as error:
        said = " ".join(str(error.stderr).split())
        raise RevisionError(f"git {arguments[0]} failed ({said}): run in the project's clone") from error
    return done.stdout.rstrip("\n")
