"""The life of a pod: init containers, sidecars, containers, and its end.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ and, for sidecars,
https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
"""

import asyncio
import subprocess
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from remora.task_owner import TaskOwner
from remora.testing.kubelet.life import ContainerLife, ContainerState, Event
from remora.testing.kubelet.node import PodNode
from remora.testing.kubelet.probing import Prober
from remora.testing.kubelet.runtime import end_group
from remora.testing.kubelet.spec import ContainerSpec, NotRunnable, PodSpec, RestartPolicy

_WAIT_S = 60.0
_EXEC_S = 60.0


class Phase(Enum):
    """Where a pod is in its life."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class RunningPod:
    """A pod on this machine.

    Attributes:
        spec: What it is.
        phase: Where it is in its life.
        reason: Why it failed, if it did; or why a container could not be made.
        events: What happened to its containers, in order.
    """

    def __init__(self, spec: PodSpec, node: PodNode, pace: float) -> None:
        """Take what it is and what it runs on; `Kubelet.running` starts it."""
        self.spec = spec
        self.phase = Phase.PENDING
        self.reason = ""
        self.events: list[Event] = []
        self._node = node
        self._pace = pace
        self._tasks = TaskOwner(spec.name)
        self._moved = asyncio.Event()
        self._lives = {one.name: self._life(one) for one in (*spec.inits, *spec.containers)}
        self._is_deleted = False

    # what tests ask

    def state(self, container: str) -> ContainerState:
        """Return what is known of a container."""
        return self._lives[container].state

    def log(self, container: str) -> str:
        """Return what a container has said, over all its starts."""
        file = self._node.log(container)
        return file.read_text(errors="replace") if file.exists() else ""

    def happened(self, what: str) -> list[str]:
        """Return to which containers something happened, in order."""
        return [event.container for event in self.events if event.what == what]

    async def until(self, condition: Callable[[], object], timeout_s: float = _WAIT_S) -> None:
        """Wait until something about this pod has come true.

        Raises:
            TimeoutError: It did not; with what the pod has come to.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            raise TimeoutError(f"pod {self.spec.name}: {self.report()}") from None

    async def running(self, timeout_s: float = _WAIT_S) -> None:
        """Wait until all containers have started up.

        Raises:
            NotRunnable: The pod has ended before.
            TimeoutError: They did not.
        """
        apps = [self._lives[one.name] for one in self.spec.containers]
        await self.until(
            lambda: self.is_over or all(life.started.is_set() for life in apps), timeout_s
        )
        if not all(life.started.is_set() for life in apps):
            raise NotRunnable(self.report())

    async def completed(self, timeout_s: float = _WAIT_S) -> Phase:
        """Wait until the pod is over, its sidecars too; returns how it ended."""
        await self.until(lambda: self.is_over, timeout_s)
        return self.phase

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.phase in (Phase.SUCCEEDED, Phase.FAILED)

    def report(self) -> str:
        """Say what has become of the pod, with the ends of its logs."""
        events = ", ".join(f"{event.container} {event.what}" for event in self.events)
        logs = "".join(f"\n--- {name}\n{self.log(name)[-1500:]}" for name in self._lives)
        return f"{self.phase.value} {self.reason} ({events}){logs}"

    async def exec(
        self,
        container: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        only: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float = _EXEC_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a container to its end, as ``kubectl exec`` does.

        Args:
            container: Its name; it must run.
            command: What to run.
            environment: Variables besides the container's own.
            only: Variables instead of the container's own.
            stdin: What it reads.
            timeout_s: It is killed then, and TimeoutError raised.
        """
        process = self._lives[container].state.process
        if process is None or not process.is_running:
            raise NotRunnable(f"container {container} does not run: {self.report()}")
        own = self._node.variables(self._spec_of(container)) if only is None else only
        argv = process.entering({**own, **(environment or {})}, command)
        return await _run(argv, stdin, timeout_s)

    def refresh_volumes(self) -> None:
        """Give ConfigMaps and Secrets that are mounted as folders their present content."""
        self._node.volumes.refresh()

    # what the kubelet does

    def start(self) -> None:
        """Start its life."""
        self._tasks.spawn(self._live(), name="life")

    async def delete(self, grace_s: float | None = None) -> None:
        """End it, as the API server's deletion does; returns when nothing of it runs.

        Args:
            grace_s: How long it gets; None: as its spec says.
        """
        self._is_deleted = True
        loop = asyncio.get_running_loop()
        end = loop.time() + (self.spec.grace_s if grace_s is None else grace_s)
        sidecars = [life for life in self._started(self.spec.inits) if life.spec.is_sidecar]
        others = [life for life in self._lives.values() if life not in sidecars]
        await asyncio.gather(*(life.stop(end - loop.time()) for life in others))
        for life in reversed(sidecars):
            await life.stop(end - loop.time())
        await self._tasks.aclose()
        await self._node.aclose()
        if not self.is_over:
            self._enter(Phase.FAILED, "deleted")

    def _life(self, spec: ContainerSpec) -> ContainerLife:
        return ContainerLife(
            spec, self._node.start, lambda: self._prober(spec), self._tell, self._pace
        )

    def _prober(self, spec: ContainerSpec) -> Prober:
        async def run(command: Sequence[str], timeout_s: float) -> int:
            try:
                return (await self.exec(spec.name, command, timeout_s=timeout_s)).returncode
            except (TimeoutError, NotRunnable):
                return 1

        return Prober(self._node.outside, run, self._pace)

    async def _live(self) -> None:
        try:
            await self._node.prepare()
            failed = await self._initialize()
            codes = [] if failed else await self._run_containers()
        except NotRunnable as error:
            return await self._give_up(str(error))
        if self._is_deleted:
            return
        await self._end_sidecars()
        if failed:
            self._enter(Phase.FAILED, f"init container {failed} failed")
        else:
            self._enter(Phase.FAILED if any(codes) else Phase.SUCCEEDED)

    async def _initialize(self) -> str:
        """Start the init containers one by one; returns which one failed, or nothing."""
        for spec in self.spec.inits:
            if self._is_deleted:
                return spec.name
            life = self._lives[spec.name]
            if spec.is_sidecar:
                self._spawn(life, RestartPolicy.ALWAYS)
                await _first(life.started, life.ended)
            elif await life.run(self._again_at_start) != 0:
                return spec.name
        return ""

    def _again_at_start(self, code: int) -> bool:
        return code != 0 and self.spec.restart_policy is not RestartPolicy.NEVER

    async def _run_containers(self) -> list[int]:
        """Start the containers in order, each after the hook of the one before; wait for all."""
        self._enter(Phase.RUNNING)
        tasks = []
        for spec in self.spec.containers:
            life = self._lives[spec.name]
            tasks.append(self._spawn(life, self.spec.restart_policy))
            if spec.post_start is not None:
                await _first(life.started, life.ended)
        return list(await asyncio.gather(*tasks))

    def _spawn(self, life: ContainerLife, policy: RestartPolicy) -> asyncio.Task[int]:
        return self._tasks.spawn(self._run(life, policy), name=life.spec.name)

    async def _run(self, life: ContainerLife, policy: RestartPolicy) -> int:
        try:
            return await life.run(policy.restarts)
        except NotRunnable as error:
            self.reason = f"container {life.spec.name}: {error}"
            return 128

    async def _give_up(self, why: str) -> None:
        await self._end_sidecars()
        self._enter(Phase.FAILED, why)

    async def _end_sidecars(self) -> None:
        """End the sidecars, the last one started first."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.spec.grace_s
        for life in reversed(self._started(self.spec.inits)):
            if life.spec.is_sidecar:
                await life.stop(end - loop.time())

    def _started(self, specs: Sequence[ContainerSpec]) -> list[ContainerLife]:
        lives = [self._lives[spec.name] for spec in specs]
        return [life for life in lives if life.state.process is not None]

    def _spec_of(self, name: str) -> ContainerSpec:
        return self._lives[name].spec

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self._moved.set()

    def _enter(self, phase: Phase, reason: str = "") -> None:
        self.phase, self.reason = phase, self.reason or reason
        self._moved.set()


async def _first(*events: asyncio.Event) -> None:
    """Wait for the first of some events."""
    waits = TaskOwner("first")
    try:
        tasks = [waits.spawn(event.wait(), name="wait") for event in events]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await waits.aclose()


async def _run(
    argv: Sequence[str], stdin: str, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate(stdin.encode())
    finally:
        end_group(process)
        await process.wait()
    code = process.returncode or 0
    return subprocess.CompletedProcess(
        argv, code, out.decode(errors="replace"), err.decode(errors="replace")
    )
