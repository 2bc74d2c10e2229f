"""Has the server that Prefect starts for a flow without one end with the flow, even by SIGKILL."""

import subprocess
from typing import Any

from prefect.server.api.server import SubprocessASGIServer

# The writing end of the pipe is closed with this process, however it dies.
_LEASH = 'read -r _; kill -TERM "$1" && sleep 10 && kill -KILL "$1"'


class LeashedServer(SubprocessASGIServer):
    """Prefect's temporary server; once one is made, Prefect uses it instead of one of its own."""

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        process = super()._run_uvicorn_command()
        # The writing end of the pipe is closed with this process, however it dies.
        end = [
            "/bin/sh",
            "-c",
            'read -r _; kill -TERM "$1" && sleep 10 && kill -KILL "$1"',
            "sh",
            str(process.pid),
        ]
        subprocess.Popen(  # noqa: S603
            end,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return process
