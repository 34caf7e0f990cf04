"""What a sidecar says of itself to the aggregator: how much waits, and which policy is in force."""

from collections.abc import Callable

from remora.clock import Clock
from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.spool.spool import Spool

type PolicyInForce = Callable[[], tuple[str, str]]
"""Gives the name and version of the policy in force, both empty where there is none."""


def no_policy() -> tuple[str, str]:
    """Name none: for who reports without one."""
    return "", ""


class OwnState:
    """Looks at the spool and the policy, no more often than anybody needs to know."""

    def __init__(self, spool: Spool, clock: Clock, policy: PolicyInForce, every_s: float) -> None:
        """Take what is looked at, and how many seconds lie between two looks."""
        self._spool = spool
        self._clock = clock
        self._policy = policy
        self._every_s = every_s
        self._looked_s: float | None = None

    async def now(self) -> pb.SidecarState:
        """Say how it stands now."""
        self._looked_s = self._clock.monotonic_s()
        name, version = self._policy()
        waiting_bytes = await self._spool.waiting_bytes()
        return pb.SidecarState(
            waiting_records=self._spool.depth,
            waiting_bytes=waiting_bytes,
            limit_bytes=self._spool.limit_bytes,
            policy=name or None,
            policy_version=version or None,
        )

    async def when_due(self) -> pb.SidecarState | None:
        """Say how it stands, unless that was said a moment ago."""
        now_s = self._clock.monotonic_s()
        if self._looked_s is not None and now_s - self._looked_s < self._every_s:
            return None
        return await self.now()
