import os

import pytest
from bench.disturbance import calm, stolen_s


class Machine:
    """A clock and a hypervisor; each round takes a second, of which so much is stolen."""

    def __init__(self, *shares: tuple[float, float]) -> None:  # noqa: D107
        self.shares = list(shares)
        self.now_s = 0.0
        self.stolen_s = (0.0, 0.0)
        self.rounds = 0

    def measure(self) -> int:
        self.now_s += 1
        one, other = self.shares.pop(0) if self.shares else (0.0, 0.0)
        self.stolen_s = (self.stolen_s[0] + one, self.stolen_s[1] + other)
        self.rounds += 1
        return self.rounds


@pytest.mark.parametrize(
    ("shares", "kept", "measured", "most_stolen"),
    [
        ((), [1, 2, 3], 3, 0.0),
        (((0.001, 0.002),) * 3, [1, 2, 3], 3, 0.002),
        (((0.0, 0.0), (0.5, 0.0), (0.0, 0.02)), [1, 4, 5], 5, 0.0),
        (((0.5, 0.2), (0.4, 0.3), (0.1, 0.0), (0.2, 0.3)) + ((0.6, 0.6),) * 11, [2, 3, 4], 15, 0.4),
    ],
    ids=["quiet", "a little is stolen", "some rounds are stolen", "no peace at all"],
)
def test_the_rounds_that_lost_least_are_kept(shares, kept, measured, most_stolen):
    machine = Machine(*shares)

    found = calm(machine.measure, 3, lambda: machine.stolen_s, lambda: machine.now_s)

    assert found.rounds == kept
    assert found.measured == measured
    assert found.most_stolen == pytest.approx(most_stolen)


def test_the_kernel_says_what_was_stolen_from_each_core():
    cores = sorted(os.sched_getaffinity(0))
    stolen = stolen_s(cores)
    assert len(stolen) == len(cores)
    assert min(stolen) >= 0
