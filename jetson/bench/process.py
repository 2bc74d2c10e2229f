"""Turns a task into its result by way of a process that may crash, hang or be killed without harm."""

import json
import os
import signal
import subprocess
import tempfile
from typing import Any, Dict, Optional

from jetson.children import child_environment, module_command

OUT_OF_MEMORY = " (as a rule because memory ran out)"


class Outcome:
    """What came of a task: `result`, or `failure` in a few words."""

    def __init__(self, result: Optional[Dict[str, Any]], failure: Optional[str]) -> None:
        self.result = result
        self.failure = failure


def run_task(task: Dict[str, Any], limit_s: float) -> Outcome:
    """Run `jetson.bench.tasks` on a task; after the limit it is killed and counts as failed."""
    with tempfile.TemporaryDirectory(prefix="dobble-") as folder:
        path, said = os.path.join(folder, "result.json"), os.path.join(folder, "said.txt")
        task = dict(task, result=path, limit_s=limit_s)
        with open(said, "wb") as stream:
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                module_command("jetson.bench.tasks") + [json.dumps(task)],
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
            try:
                code = child.wait(limit_s)
            except subprocess.TimeoutExpired:
                return Outcome(None, "did not end within {:g} s".format(limit_s))
            finally:
                if child.poll() is None:
                    # With it goes what it has started, such as the builder of an engine.
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
        if code != 0:
            return Outcome(None, _described(code, said))
        with open(path, encoding="utf-8") as lines:
            result = json.load(lines)
    return Outcome(None, result["error"]) if "error" in result else Outcome(result, None)


def _described(code: int, said: str) -> str:
    if code < 0:
        cause = OUT_OF_MEMORY if code == -signal.SIGKILL else ""
        return "exit code {}: killed by {}{}".format(code, signal.Signals(-code).name, cause)
    with open(said, encoding="utf-8", errors="replace") as stream:
        lines = [line.strip() for line in stream if line.strip()]
    return "exit code {}{}".format(code, ": " + lines[-1][:200] if lines else "")
