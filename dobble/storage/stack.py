"""Turns a stack, a small file that says where data and results live, into settings of DVC and of the shell.

Credentials are no part of it: they come from AWS's own chain (environment, ~/.aws, instance role).
"""

import hashlib
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import yaml
from configobj import ConfigObj, ConfigObjError  # type: ignore[import-untyped]
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dobble.env import chosen_stack
from dobble.files import replaced_file
from dobble.paths import STACK_CHOICE, STACK_ENVIRONMENT, STACK_LOCK, STATE
from dobble.storage.errors import StackError

DVC_LOCAL = Path(".dvc/config.local")
S3_REMOTE, FOLDER_REMOTE, ONCE_REMOTE = "stack-s3", "stack-folder", "stack-once"

_TIMEOUTS = {"connect_timeout": "10", "read_timeout": "30"}
_OWNED = ("url", "endpointurl", "region", "profile", "verify", *_TIMEOUTS)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RemoteSettings(_Block):
    """Where DVC keeps data and results: an S3 bucket, AWS's or another maker's, or a folder."""

    url: Annotated[str, Field(min_length=1)]
    endpointurl: Annotated[str, Field(pattern=r"^https?://")] | None = None
    region: Annotated[str, Field(min_length=1)] | None = None
    profile: Annotated[str, Field(min_length=1)] | None = None

    @property
    def is_s3(self) -> bool:
        """Whether the url is a bucket's."""
        return self.url.startswith("s3://")

    @field_validator("url")
    @classmethod
    def _is_bucket_or_folder(cls, url: str) -> str:
        scheme, separator, rest = url.partition("://")
        if not separator:
            return url
        if scheme != "s3":
            raise ValueError("must be s3://bucket/folder or a folder of this machine")
        bucket, _, folder = rest.partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("must name your bucket: 3 to 63 lower-case letters, digits, dots or hyphens")
        if not folder.strip("/"):
            raise ValueError("must name a folder in the bucket, as in s3://bucket/folder")
        return url.rstrip("/")

    @field_validator("endpointurl")
    @classmethod
    def _has_no_secret(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and "@" in urlsplit(endpoint).netloc:
            raise ValueError("must not hold a user or password: credentials come from AWS's own chain")
        return endpoint


class Stack(_Block):
    """The whole file."""

    remote: RemoteSettings


@dataclass(frozen=True)
class ChosenStack:
    """A stack in use: its name or file as it was given, what it says, and what DVC calls its remote."""

    choice: str
    stack: Stack
    remote: str

    @property
    def is_recorded(self) -> bool:
        """Whether it was chosen by `use_stack`, and not by the environment for the present command."""
        return self.remote in (S3_REMOTE, FOLDER_REMOTE)


def use_stack(choice: str, root: Path = Path()) -> ChosenStack:
    """Point DVC and the environment file at a stack; asking for the same again changes nothing.

    What an earlier stack set in `.dvc/config.local` goes, what a user added there by hand stays.

    Args:
        choice: the name of a file in `stacks/` without its ending, or the path of a stack file.
        root: folder of the project.

    Raises:
        StackError: if there is no such file, or naming the first setting that is wrong.
        OutputError: if the settings cannot be written.
    """
    stack = load_stack(_file(choice, root))
    used = ChosenStack(choice, stack, S3_REMOTE if stack.remote.is_s3 else FOLDER_REMOTE)
    lines = [
        f"{name}={shlex.quote(value)}\n" for name, value in environment(stack.remote.endpointurl).items()
    ]
    with _alone(root):
        _write_dvc_settings(used, root)
        _write(root / STACK_ENVIRONMENT, f"# Written by `dobble stack use {choice}`.\n" + "".join(lines))
        _write(root / STACK_CHOICE, f"{choice}\n")
    return used


def current_stack(root: Path = Path()) -> ChosenStack | None:
    """Give the stack in use, None if none is, with DVC's settings as its file says now.

    One that the environment chooses gets a remote of its own beside the default one: it holds for this
    command, and what was chosen before holds again after it.

    Raises:
        StackError: as `use_stack` does.
    """
    recorded, chosen = _recorded(root), chosen_stack()
    if chosen is None or chosen == recorded:
        return None if recorded is None else use_stack(recorded, root)
    mark = hashlib.sha256(chosen.encode()).hexdigest()[:8]
    used = ChosenStack(chosen, load_stack(_file(chosen, root)), f"{ONCE_REMOTE}-{mark}")
    with _alone(root):
        _write_dvc_settings(used, root)
    return used


def load_stack(source: Path) -> Stack:
    """Read and check a stack file.

    Raises:
        StackError: naming the first wrong setting by its dotted name. Values are not repeated: one that
            stands in the wrong place may be a secret.
    """
    if not source.is_file():
        raise StackError(source, "there is no such stack; `local`, `s3` or the path of a file is expected")
    try:
        values = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise StackError(source, f"is no YAML{where}") from None
    try:
        return Stack.model_validate(values)
    except ValidationError as error:
        raise StackError(source, _describe(error)) from None


def environment(endpoint: str | None) -> dict[str, str]:
    """Give the variables that keep clients of S3 from hanging or asking services that are not there.

    Args:
        endpoint: address of an S3 service that is not AWS's own, else None.
    """
    variables = {"AWS_MAX_ATTEMPTS": "2", "DVC_NO_ANALYTICS": "1"}
    if endpoint is not None:
        variables["AWS_EC2_METADATA_DISABLED"] = "true"
        # Newer checksums than MD5 are unknown to many services that speak S3.
        variables["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
        variables["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"
    return variables


def _file(choice: str, root: Path) -> Path:
    if re.fullmatch(r"[\w-]+", choice):
        return root / "stacks" / f"{choice}.yaml"
    return root / Path(choice).expanduser()


def _recorded(root: Path) -> str | None:
    record = root / STACK_CHOICE
    return record.read_text(encoding="utf-8").strip() or None if record.is_file() else None


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let one process at a time change the settings."""
    folder = root / DVC_LOCAL.parent
    if not folder.is_dir():
        raise StackError(folder, "there is no DVC project here: run in the project's folder")
    (root / STATE).mkdir(exist_ok=True)
    with FileLock(root / STACK_LOCK):
        yield


def _write_dvc_settings(used: ChosenStack, root: Path) -> None:
    target = root / DVC_LOCAL
    before = target.read_text(encoding="utf-8") if target.is_file() else ""
    try:
        config = ConfigObj(before.splitlines(), indent_type="    ")
    except ConfigObjError as error:
        raise StackError(target, f"cannot be read: {error}") from None
    foreign = {name: _foreign(config.get(_section(name), {})) for name in (S3_REMOTE, FOLDER_REMOTE)}
    if used.is_recorded:
        for name, kept in foreign.items():
            config.pop(_section(name), None)
            if kept:
                config[_section(name)] = kept
        config.setdefault("core", {})["remote"] = used.remote
    kind = S3_REMOTE if used.stack.remote.is_s3 else FOLDER_REMOTE
    settings = _dvc_settings(used.stack.remote, root, target.parent)
    config[_section(used.remote)] = {**foreign[kind], **settings}
    _write(target, "".join(f"{line}\n" for line in config.write()))


def _section(remote: str) -> str:
    return f'remote "{remote}"'


def _foreign(section: dict[str, str]) -> dict[str, str]:
    """What a user added to a remote of ours, with its url, since DVC takes no remote without one."""
    kept = {key: value for key, value in section.items() if key not in _OWNED}
    return {"url": section["url"], **kept} if kept else {}


def _dvc_settings(remote: RemoteSettings, root: Path, beside: Path) -> dict[str, str]:
    if not remote.is_s3:
        folder = Path(remote.url).expanduser()
        at = _main_worktree(root) / folder
        return {"url": str(folder) if folder.is_absolute() else os.path.relpath(at, beside)}
    given = remote.model_dump(exclude_none=True)
    # `verify` makes DVC hash what it pulls; by default it trusts the name of an object.
    return {**given, **_TIMEOUTS, "verify": "true"}


def _main_worktree(root: Path) -> Path:
    """Give the folder that a git worktree was made from, whose folder of storage it shares; else `root`."""
    pointer = root / ".git"
    if not pointer.is_file():
        return root
    # It names this worktree's folder below .git/worktrees of the other (gitrepository-layout).
    administration = (root / pointer.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()
    shared = administration.parent.parent
    return shared.parent if administration.parent.name == "worktrees" and shared.name == ".git" else root


def _write(target: Path, text: str) -> None:
    if target.is_file() and target.read_text(encoding="utf-8") == text:
        return
    with replaced_file(target) as side:
        side.write_text(text, encoding="utf-8")


def _describe(error: ValidationError) -> str:
    first = error.errors(include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        return f"{name}: no such setting (credentials come from AWS's own chain, never from a file here)"
    if first["type"] == "missing":
        return f"{name}: is missing"
    return f"{name}: {first['msg'].removeprefix('Value error, ')}"
