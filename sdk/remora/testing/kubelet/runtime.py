"""Starts containers: namespaces by util-linux, processes by asyncio.

Every process dies with the process that started the pod, by parent-death signals.
"""

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from remora.testing.kubelet.sandbox import Sandbox, env_command
from remora.testing.kubelet.spec import NotRunnable

_DIE_WITH_US = ("setpriv", "--pdeathsig=KILL")
_MADE_WITHIN_S = 60.0


class ContainerProcess:
    """A container that was started.

    Attributes:
        pid: Of its first process, as this machine counts.
    """

    def __init__(self, outer: asyncio.subprocess.Process, pid: int, rights: Sequence[str]) -> None:
        """Take the process that waits for it, and what runs in it."""
        self._outer = outer
        self.pid = pid
        self._rights = rights
        self._was_killed = False

    async def ended(self) -> int:
        """Wait for its end; returns its exit code, 128 and the signal's number after a signal."""
        code = await self._outer.wait()
        # `unshare` passes every signal on but this one, over which it fails.
        code = -signal.SIGKILL if self._was_killed and code == 1 else code
        return 128 - code if code < 0 else code

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, as far as this process knows."""
        return self._outer.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        if self.is_running:
            self._was_killed |= number is signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def entering(
        self,
        environment: Mapping[str, str],
        command: Sequence[str],
        rights: Sequence[str] | None = None,
    ) -> list[str]:
        """Return the command line that runs a command in it, as ``kubectl exec`` does."""
        inside = f"exec setpriv {shlex.join(rights or self._rights)} env -i "
        script = inside + env_command(environment, command)
        spaces = ["--mount", "--net", "--uts", "--pid"]
        argv = [*_DIE_WITH_US, "nsenter", f"--target={self.pid}", *spaces]
        return [*argv, "--", "sh", "-c", script]


class Runtime:
    """Starts the containers of one pod."""

    def __init__(self, network: str) -> None:
        """Take the name of the pod's network namespace."""
        self._network = network
        self._pause: asyncio.subprocess.Process | None = None
        self._pause_pid = 0

    async def share_processes(self) -> None:
        """Give the pod one namespace of processes, which stands until `aclose`."""
        argv = [*_DIE_WITH_US, "unshare", "--pid", "--fork", "--kill-child"]
        script = (
            "read -r pid _ < /proc/self/stat; echo $pid >&0; exec < /dev/null; exec sleep infinity"
        )
        self._pause, self._pause_pid = await _started([*argv, "sh", "-c", script], None)

    async def start(self, sandbox: Sandbox, log: Path) -> ContainerProcess:
        """Start a container; what it says is appended to a log.

        Raises:
            NotRunnable: It could not be made; with what the tools said.
        """
        argv = [*_DIE_WITH_US, "nsenter", f"--net=/run/netns/{self._network}"]
        if self._pause is None:
            argv += ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts"]
        else:
            pids = f"--pid=/proc/{self._pause_pid}/ns/pid"
            argv += [pids, "--", *_DIE_WITH_US, "unshare", "--mount", "--uts"]
        argv += ["--propagation=private", "sh", "-c", sandbox.script()]
        outer, pid = await _started(argv, log)
        return ContainerProcess(outer, pid, sandbox.rights)

    async def aclose(self) -> None:
        """End the shared namespace, and all that is left in it."""
        if self._pause is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pause_pid, signal.SIGKILL)
            await self._pause.wait()


async def _started(argv: Sequence[str], log: Path | None) -> tuple[asyncio.subprocess.Process, int]:
    """Start what says its process id on descriptor 0, and wait until it has."""
    reading, writing = os.pipe()
    output = os.open(log or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=writing, stdout=output, stderr=output, start_new_session=True
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
        os.close(output)
    said = await _said(process, reading)
    if not said:
        await process.wait()
        raise NotRunnable(f"the container could not be made: {_end_of(log)}")
    return process, int(said)


def _end_of(log: Path | None) -> str:
    return "" if log is None else log.read_text(errors="replace")[-2000:].strip()


async def _said(process: asyncio.subprocess.Process, reading: int) -> bytes:
    """Read a line, or to the end of what died on the way."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe = os.fdopen(reading, "rb")
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        async with asyncio.timeout(_MADE_WITHIN_S):
            return (await reader.readline()).strip()
    except BaseException:
        end_group(process)
        await process.wait()
        raise
    finally:
        transport.close()


def end_group(process: asyncio.subprocess.Process) -> None:
    """Kill a process that was started in a session of its own, with all it started."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
