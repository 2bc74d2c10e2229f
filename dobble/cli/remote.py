"""The verbs that move pinned data and results between this machine and a remote."""

import sys
from typing import Annotated

import typer

from dobble.errors import ParameterError
from dobble.paths import DATA_PIN, STACK_ENVIRONMENT

REMOTE = "Data and results in S3"
app = typer.Typer()
stack_app = typer.Typer(help="Choose where data and results live.", no_args_is_help=True)
app.add_typer(stack_app, name="stack", rich_help_panel=REMOTE)


@stack_app.command("use")
def stack_use(choice: Annotated[str, typer.Argument(help="local, s3, or the path of a stack file.")]) -> None:
    """Point DVC and .dobble/stack.env at a stack."""
    from dobble.storage.stack import use_stack

    used = use_stack(choice)
    print(
        f"stack {choice}: data and results in {used.stack.remote.url}; shell settings in {STACK_ENVIRONMENT}"
    )


@stack_app.command("show")
def stack_show() -> None:
    """Say which stack is in use."""
    from dobble.storage.stack import current_stack

    used = current_stack()
    if used is None:
        print("no stack is chosen; DVC's own settings hold")
        return
    print(f"stack: {used.choice}{'' if used.is_recorded else ' (for this command, by DOBBLE_STACK)'}")
    for name, value in used.stack.remote.model_dump(exclude_none=True).items():
        print(f"{name}: {value}")


@app.command(rich_help_panel=REMOTE)
def push(
    *,
    sample: Annotated[str, typer.Option(help="Objects to hash there as well: a number, or all.")] = "0",
    stall_seconds: Annotated[float, typer.Option(help="How long nothing may move.", min=1)] = 30.0,
) -> None:
    """Send pinned data, results and the run cache; mend what is missing there."""
    from dobble.storage.remote import push as run

    done = run(sample=_sample(sample), stall_seconds=stall_seconds)
    print(done.describe())


@app.command(rich_help_panel=REMOTE)
def pull(
    *,
    stall_seconds: Annotated[float, typer.Option(help="How long nothing may move.", min=1)] = 30.0,
) -> None:
    """Fetch pinned data, results and the run cache."""
    from dobble.storage.remote import pull as run

    echo = sys.stderr.write if sys.stderr.isatty() else None
    print(f"{run(stall_seconds=stall_seconds, echo=echo)}: all that is pinned is here")


@app.command(rich_help_panel=REMOTE)
def verify(
    *,
    sample: Annotated[str, typer.Option(help="Objects to fetch and hash: a number, or all.")] = "32",
    stall_seconds: Annotated[float, typer.Option(help="How long nothing may move.", min=1)] = 30.0,
) -> None:
    """Check object by object what the remote really holds."""
    from dobble.storage.remote import verify as run

    done = run(sample=_sample(sample), stall_seconds=stall_seconds)
    for finding in done.findings:
        print(f"{finding.problem}: {', '.join(finding.files)} ({finding.name})")
    done.check()
    print(f"{done.remote}: {done.objects} objects are there with their sizes, {done.hashed} of them hashed")


@app.command(rich_help_panel=REMOTE)
def pin(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only compare; fail if data/ differs.")] = False,
) -> None:
    """Pin data/ as it is now in data.dvc."""
    from dobble.storage.pins import check_pinned
    from dobble.storage.pins import pin as run

    if check:
        check_pinned()
        return
    done = run()
    print(f"{DATA_PIN}: {done.path} is pinned as {done.name}, {(done.size or 0) / 1e6:.1f} MB")


def _sample(given: str) -> int | None:
    if given == "all":
        return None
    if not given.isdecimal():
        raise ParameterError(f"--sample: must be a number or all, not {given!r}")
    return int(given)
