import os

import pytest
from bench.disturbance import stolen_s, undisturbed


class Machine:
    """A clock and a hypervisor; each round takes a second, of which so much is stolen."""

    def __init__(self, *shares: float) -> None:  # noqa: D107
        self.shares = list(shares)
        self.now_s = self.stolen_s = 0.0
        self.rounds = 0

    def measure(self) -> int:
        self.now_s += 1
        self.stolen_s += self.shares.pop(0) if self.shares else 0.0
        self.rounds += 1
        return self.rounds


@pytest.mark.parametrize(
    ("shares", "kept", "passed_over"),
    [
        ((), [1, 2, 3], 0),
        ((0.009, 0.009), [1, 2, 3], 0),
        ((0.0, 0.5, 0.02), [1, 4, 5], 2),
        ((0.5,) * 100, [7, 8, 9], 6),
    ],
    ids=["quiet", "a little is stolen", "some rounds are stolen", "no peace at all"],
)
def test_rounds_that_were_stolen_are_measured_again_within_bounds(shares, kept, passed_over):
    machine = Machine(*shares)

    found = undisturbed(machine.measure, 3, lambda: machine.stolen_s, lambda: machine.now_s)

    assert found == (kept, passed_over)


def test_the_kernel_says_what_was_stolen():
    core = min(os.sched_getaffinity(0))
    assert stolen_s(core) >= 0
