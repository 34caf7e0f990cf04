"""One container over all its starts: probes, restarts, the end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from remora.task_owner import TaskOwner
from remora.testing.kubelet.probe_spec import Probe
from remora.testing.kubelet.probing import Prober
from remora.testing.kubelet.runtime import ContainerProcess
from remora.testing.kubelet.spec import ContainerSpec

_LAST_S = 2.0
"""What a container gets at the least between being told to end and being killed."""

_BACK_OFF_S = 10.0
"""Before a container that has ended is started for the third time, and so on."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a container.

    Attributes:
        container: Its name.
        what: ``started``, ``started up``, ``told to end``, ``killed``, ``unhealthy``, or
            ``ended N`` with its exit code.
    """

    container: str
    what: str


@dataclass(slots=True)
class ContainerState:
    """What is known of a container.

    Attributes:
        starts: How often it was started.
        codes: With what its processes have ended, in order.
        process: What runs now, or ran last; None: nothing was started yet.
        is_ready: Its readiness probe passes; without one, it has started up.
    """

    starts: int = 0
    codes: list[int] = field(default_factory=list)
    process: ContainerProcess | None = None
    is_ready: bool = False


Start = Callable[[ContainerSpec], Awaitable[ContainerProcess]]
Tell = Callable[[Event], None]


class ContainerLife:
    """Runs one container until it has ended for good."""

    def __init__(
        self,
        spec: ContainerSpec,
        start: Start,
        prober: Callable[[], Prober],
        tell: Tell,
        pace: float,
    ) -> None:
        """Take what it is and how it is started; `run` starts it.

        Args:
            spec: What it is.
            start: Starts it.
            prober: Makes what asks it.
            tell: Is told what happens.
            pace: How many seconds a second of back-off lasts.
        """
        self.spec = spec
        self.state = ContainerState()
        self.started = asyncio.Event()
        """It has started up: its startup probe, if it has one, has passed."""
        self.ended = asyncio.Event()
        """It has ended for good."""
        self._start = start
        self._make_prober = prober
        self._tell = tell
        self._pace = pace
        self._is_stopping = False

    async def run(self, again: Callable[[int], bool]) -> int:
        """Run it as often as it is to be run; returns its last exit code.

        Args:
            again: Tells whether it is started again after an exit code.
        """
        try:
            code = 0
            while not self._is_stopping:
                code = await self._once()
                if not again(code):
                    break
                if self.state.starts > 1:
                    await asyncio.sleep(_BACK_OFF_S * self._pace)
            return code
        finally:
            self.state.is_ready = False
            self.ended.set()

    async def _once(self) -> int:
        process = await self._start(self.spec)
        self.state.process = process
        self.state.starts += 1
        self._say("started")
        attending = TaskOwner(self.spec.name)
        try:
            attending.spawn(self._attend(process), name="attend")
            code = await process.ended()
        except BaseException:
            process.signal(signal.SIGKILL)
            await process.ended()
            raise
        finally:
            self.state.is_ready = False
            await attending.aclose()
        self.state.codes.append(code)
        self._say(f"ended {code}")
        return code

    async def _attend(self, process: ContainerProcess) -> None:
        """Take it through its hook and probes."""
        spec, prober = self.spec, self._make_prober()
        if spec.post_start is not None and not await prober.hook(spec.post_start):
            return await self._unhealthy(process)
        if spec.startup is not None and not await prober.settled(spec.startup):
            return await self._unhealthy(process)
        self._say("started up")
        self.started.set()
        both: list[Coroutine[Any, Any, None]] = []
        if spec.liveness is not None:
            both.append(self._watch_health(process, prober, spec.liveness))
        if spec.readiness is None:
            self.state.is_ready = True
        else:
            both.append(self._watch_readiness(prober, spec.readiness))
        await asyncio.gather(*both)

    async def _watch_health(
        self, process: ContainerProcess, prober: Prober, liveness: Probe
    ) -> None:
        await prober.until(liveness, outcome=False)
        await self._unhealthy(process)

    async def _watch_readiness(self, prober: Prober, readiness: Probe) -> None:
        while True:
            await prober.until(readiness, outcome=not self.state.is_ready)
            self.state.is_ready = not self.state.is_ready

    async def _unhealthy(self, process: ContainerProcess) -> None:
        self._say("unhealthy")
        process.signal(signal.SIGTERM)
        await asyncio.sleep(_LAST_S)
        process.signal(signal.SIGKILL)

    async def stop(self, grace_s: float) -> None:
        """End it for good: its hook, SIGTERM, and SIGKILL when its time is over."""
        self._is_stopping = True
        process = self.state.process
        if process is None or not process.is_running:
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + max(grace_s, _LAST_S)
        await self._pre_stop(end - loop.time())
        self._say("told to end")
        process.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout_at(end):
                await self.ended.wait()
        except TimeoutError:
            self._say("killed")
            process.signal(signal.SIGKILL)
            await self.ended.wait()

    async def _pre_stop(self, within_s: float) -> None:
        if self.spec.pre_stop is not None:
            try:
                async with asyncio.timeout(within_s):
                    await self._make_prober().hook(self.spec.pre_stop)
            except TimeoutError:
                pass  # its time is over: it is told to end all the same

    def _say(self, what: str) -> None:
        self._tell(Event(self.spec.name, what))
