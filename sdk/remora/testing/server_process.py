"""A server of ours as a process of its own, known by the line it prints when it is ready.

The demo, benchmarks and the tests that kill servers all start them so.
"""

import json
import selectors
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from remora.errors import Unavailable

_READY_WAIT_S = 30.0
_STOP_WAIT_S = 15.0


def part_command(part: str, *arguments: str) -> list[str]:
    """The command line of a part (``sidecar``, ``aggregator``), run by this Python."""
    return [sys.executable, "-P", "-m", f"remora_{part}", *arguments]


class ServerProcess:
    """A started server; leaving its context stops it.

    Attributes:
        ready: What its ready line says.
        pid: Its process id.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        """Start it and wait for its ready line.

        Args:
            name: What to call it in errors.
            command: What to run; it must print one line of JSON when it is ready.
            environment: Its whole environment.
            log: Where its stderr goes; it is appended to.

        Raises:
            Unavailable: It ended, or was not ready in time; with what it said.
        """
        self._name = name
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - the caller's own command
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for whoever started it
            )
        self.pid = self._process.pid
        try:
            self.ready: Mapping[str, Any] = self._ready_line()
        except BaseException:
            self.kill()
            raise

    def _ready_line(self) -> Mapping[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - a pipe was asked for
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            in_time = bool(selector.select(_READY_WAIT_S))
        if in_time and (line := stdout.readline()):
            ready: Mapping[str, Any] = json.loads(line)
            return ready
        what = "ended before it was ready" if in_time else f"not ready within {_READY_WAIT_S:g} s"
        said = self._log.read_text(errors="replace").strip() or "it said nothing"
        raise Unavailable(f"{self._name}: {what}:\n{said}")

    def stop(self) -> int:
        """Ask it to stop, wait until it has, and return its exit code."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self._ended()

    def kill(self) -> int:
        """Kill it (SIGKILL), and return its exit code once it is gone."""
        self._process.kill()
        return self._ended()

    def _ended(self) -> int:
        code = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def __enter__(self) -> Self:
        """Give the server itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it, if it still runs."""
        if self._process.poll() is None:
            self.stop()
        else:
            self._ended()
