"""A fleet that reports and follows while something fails, and what must hold when it is over."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.aggregator.faults.reporting import Follower, SidecarReporter, WireReporter
from tests.aggregator.faults.truth import Made, Truth, check, check_seen

_END_S = 60.0


@dataclass(slots=True)
class Fleet:
    """Who reports and who follows."""

    truth: Truth
    wires: list[WireReporter]
    sidecars: list[SidecarReporter]
    followers: list[Follower] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        """How many records the store has said that it has."""
        wired = sum(wire.acknowledged for wire in self.wires)
        return wired + sum(sidecar.reporter.delivered_total for sidecar in self.sidecars)

    @property
    def sent_again(self) -> int:
        """How many records were sent more than once, by those who count."""
        return sum(wire.sent_again for wire in self.wires)

    def stop(self) -> None:
        """Make no more calls."""
        for reporter in (*self.wires, *self.sidecars):
            reporter.stopping.set()

    async def more(self, count: int) -> None:
        """Wait until so many more records are acknowledged."""
        until = self.acknowledged + count
        async with asyncio.timeout(_END_S):
            while self.acknowledged < until:  # noqa: ASYNC110 - other processes do it
                await asyncio.sleep(0.01)


def fleet_of(
    addresses: Sequence[str], folder: Path, chance: random.Random, *, pace_s: float = 0.05
) -> Fleet:
    """Make three plain reporters, a sidecar, and two that follow."""
    truth = Truth()
    wires = [
        WireReporter(Made(truth, number, bodies_bytes=bodies), addresses, pace_s, chance)
        for number, bodies in ((1, 0), (2, 0), (3, 600))
    ]
    sidecar = SidecarReporter(
        Made(truth, 4), chance.choice(addresses), folder / "spool.db", pace_s, chance
    )
    followers = [Follower(addresses, truth, chance)]
    return Fleet(truth, wires, [sidecar], followers)


async def under_load(fleet: Fleet, fail: Callable[[], Awaitable[None]], address: str) -> None:
    """Have a fleet report while something fails; then everything is delivered, and compared."""
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for follower in fleet.followers:
            group.create_task(follower.run(done.is_set))
        for follower in fleet.followers:
            await asyncio.wait_for(follower.stands.wait(), _END_S)
        reporting = [
            group.create_task(reporter.run()) for reporter in (*fleet.wires, *fleet.sidecars)
        ]
        try:
            await fail()
            fleet.stop()
            await asyncio.wait_for(asyncio.gather(*reporting), _END_S)
            await check(address, fleet.truth)
            async with asyncio.timeout(_END_S):
                while not fleet.truth.is_seen():  # noqa: ASYNC110 - another process shows it
                    await asyncio.sleep(0.05)
        finally:
            fleet.stop()
            done.set()
    assert not any(wire.refusals for wire in fleet.wires)
    check_seen(fleet.truth)


def say(fleet: Fleet, **figures: int) -> None:
    """Print a run's figures, for whoever runs the long form."""
    counts = {
        "calls": len(fleet.truth.calls),
        "records": fleet.truth.made,
        "sent again": fleet.sent_again,
        "watch resumed": sum(follower.resumed for follower in fleet.followers),
        **figures,
    }
    print(", ".join(f"{count:,} {name}" for name, count in counts.items()))
