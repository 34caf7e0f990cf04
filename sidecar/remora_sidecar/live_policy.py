"""The policy in force and how it came to be: from files, from the operator, from the last run.

The one way by which a policy gets into force, one after the other. What is refused never comes
here. The composition root asks for the first one, and from then on is told of every other.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from remora.errors import ConfigError
from remora.policy import effective_from_canonical
from remora_sidecar.last_policy import LastPolicy
from remora_sidecar.policy import PolicySnapshot, snapshot_from_effective
from remora_sidecar.policy_files import PolicyFiles
from remora_sidecar.policy_service import PolicyWatch

logger = logging.getLogger(__name__)

LAST_GOOD = "last good"
DEFAULT = "default"
GIVEN = "given"
NO_POLICY_YET = (
    "no policy came yet and no earlier run left one: agents are not served until the operator "
    "has sent it"
)
NO_MORE_CHANGES = (
    "changes of the policy are not taken any more, the log says why: restart the sidecar"
)

Put = Callable[[PolicySnapshot], Awaitable[None]]


class LivePolicy:
    """One sidecar's policy, in force and to come.

    Attributes:
        origin: Where the policy in force is from: ``files``, ``operator``, ``last good`` (of an
            earlier run), ``default`` (no policy was named) or ``given`` (by who built the sidecar).
        changes_total: Policies that were put in force, the first included.
    """

    def __init__(self, source: PolicyFiles | PolicyWatch, kept: LastPolicy) -> None:
        """Take where policies come from, and where the last good one is kept."""
        self.origin = GIVEN
        self.changes_total = 0
        self._source = source
        self._kept = kept
        self._snapshot: PolicySnapshot | None = None
        self._put: Put | None = None
        self._there = asyncio.Event()
        self._taken = asyncio.Event()
        self._putting = asyncio.Lock()
        self._is_awaited = False
        self._ended = ""

    @property
    def version(self) -> str:
        """Version of the policy in force; empty where there is none yet."""
        return "" if self._snapshot is None else self._snapshot.version

    @property
    def name(self) -> str:
        """Name of the policy in force; empty where there is none yet."""
        return "" if self._snapshot is None else self._snapshot.name

    @property
    def refused_total(self) -> int:
        """Policies that were refused."""
        return self._source.refused_total

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should look at."""
        awaited = NO_POLICY_YET if self._is_awaited else ""
        found = (awaited, self._ended, *self._source.problems, self._kept.problem)
        return tuple(filter(None, found))

    def view(self, in_force: PolicySnapshot) -> Mapping[str, object]:
        """Describe the policy in force and what is wrong with its successors, ready for JSON."""
        return {**in_force.view(), "origin": self.origin, "problems": list(self.problems)}

    # Starting.

    def at_start(self) -> PolicySnapshot | None:
        """Give the policy to start with; None where the operator's first has to be waited for.

        Raises:
            ConfigError: The files can't be used, and no earlier run left a policy.
        """
        if isinstance(self._source, PolicyFiles):
            return self._from_files(self._source)
        return self._from_last_run()

    async def first(self) -> PolicySnapshot:
        """Wait for the first policy, however long: a call that no policy rules is not carried."""
        self._is_awaited = True
        logger.warning("%s", NO_POLICY_YET)
        await self._there.wait()
        assert self._snapshot is not None  # noqa: S101 - what the event says
        self._is_awaited = False
        return self._snapshot

    async def attach(self, put: Put, started_with: PolicySnapshot) -> None:
        """Have every further policy put in force, and one that came since the start."""
        self._put = put
        newest = self._snapshot
        if newest is not None and newest is not started_with:
            await self._put_in_force(newest)

    async def run(self) -> None:
        """Take policies from where they come, for as long as the sidecar runs."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_newest(), name="policy/keep")
                await self._changes()
        finally:
            self._ended = NO_MORE_CHANGES
            self._keep()

    async def _changes(self) -> None:
        if isinstance(self._source, PolicyWatch):
            await self._source.run(self)
        elif self._source.watchable:
            await self._source.watch(self.take)

    async def _keep_newest(self) -> None:
        """Write on a thread, one after the other: of a burst of changes the last counts."""
        while True:
            await self._taken.wait()
            self._taken.clear()
            await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        """Keep the policy in force for the next start."""
        if self._snapshot is not None and self.origin == self._source.origin:
            self._kept.keep(self._snapshot.effective)

    def _from_files(self, files: PolicyFiles) -> PolicySnapshot:
        try:
            snapshot = files.load()
        except ConfigError as error:
            last = self._from_last_run()
            if last is None:
                raise
            files.replaced(error)
            return last
        self._in_force(snapshot, files.origin if files.are_given else DEFAULT)
        self._keep()
        return snapshot

    def _from_last_run(self) -> PolicySnapshot | None:
        try:
            effective = self._kept.read()
        except ConfigError as error:
            said = "; ".join(map(str, error.problems))
            logger.warning("the last good policy of an earlier run can't be used: %s", said)
            return None
        if effective is None:
            return None
        snapshot = snapshot_from_effective(effective)
        logger.warning(
            "starting with the last good policy of an earlier run: %s, version %s",
            snapshot.name,
            snapshot.version,
        )
        self._in_force(snapshot, LAST_GOOD)
        return snapshot

    # Changing.

    async def take_document(self, document: bytes, version: str) -> None:
        """Put a document that travelled in force; raises ConfigError if it can't be used."""
        if version == self.version:
            return
        await self.take(await asyncio.to_thread(_compiled, document, version))

    async def take(self, snapshot: PolicySnapshot) -> None:
        """Put a policy in force from the next call on; `run` keeps it for the next start."""
        await self._put_in_force(snapshot)
        self._in_force(snapshot, self._source.origin)
        logger.warning("policy %s is in force, version %s", snapshot.name, snapshot.version)
        self._taken.set()

    def confirmed(self) -> None:
        """The policy in force is what its origin wants."""
        self.origin = self._source.origin

    async def _put_in_force(self, snapshot: PolicySnapshot) -> None:
        """Hand a policy to the engine; the lock keeps the order in which they came."""
        async with self._putting:
            if self._put is not None:
                await self._put(snapshot)

    def _in_force(self, snapshot: PolicySnapshot, origin: str) -> None:
        self._snapshot = snapshot
        self.origin = origin
        self.changes_total += 1
        self._there.set()


def _compiled(document: bytes, version: str) -> PolicySnapshot:
    return snapshot_from_effective(effective_from_canonical(document, version))
