"""Where a call may go, in which order and how often: what policy made of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from remora.policy.routing import Route
from remora.receipt import Receipt
from remora.records import Usage
from remora_sidecar.engine.attempt_limits import NO_LIMITS, AttemptLimits
from remora_sidecar.engine.budgeting import Held
from remora_sidecar.engine.option import Option
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.breakers import Breakers


class Pace(NamedTuple):
    """How often a leg is tried, and how long things may take.

    Attributes:
        tries: The first included.
        first_pause_s: Before the second; later ones are longer.
        longest_pause_s: The most to wait, also where a provider asks for more.
        limits: Of each attempt.
        total_s: From the first attempt to the start of the answer; None for no end.
    """

    tries: int = 1
    first_pause_s: float = 0.0
    longest_pause_s: float = 0.0
    limits: AttemptLimits = NO_LIMITS
    total_s: float | None = None


UNPACED = Pace()

Options = tuple[Option, ...]
"""Places to go, in order."""


@dataclass(slots=True)
class Course:
    """The legs of one call.

    Attributes:
        legs: The chosen one, then those to fall back on; at least one.
        receipt: Tells why they are what they are; given what the call used, if that is known.
        pace: How they are tried.
        breakers: Tell who is left alone; None where nobody is.
        held: What budgets and rates hold of the call; None where they hold nothing.
        chance: Draws from 0 to 1, for jitter.
        hold_more: Holds what a failed try cost beside what the next may; False if budgets have
            no room for both. None where no budget minds.
    """

    legs: Options
    receipt: Callable[[Usage | None], Receipt]
    pace: Pace = UNPACED
    breakers: Breakers | None = None
    held: Held | None = None
    chance: Callable[[], float] = lambda: 0.5
    hold_more: Callable[[Amount], bool] | None = None

    @property
    def is_held(self) -> bool:
        """Whether an answer is held until it is known to be one."""
        return self.pace.tries > 1 or len(self.legs) > 1


def pace_of(route: Route | None) -> Pace:
    """Read what a route says of tries and times."""
    if route is None:
        return UNPACED
    pace, retry, times = UNPACED, route.retry, route.timeouts
    if retry is not None:
        pace = Pace(retry.attempts, retry.initial.seconds, retry.max.seconds)
    if times is None:
        return pace
    limits = AttemptLimits(
        connect_s=times.connect.seconds if times.connect else None,
        first_byte_s=times.first_byte.seconds if times.first_byte else None,
        idle_s=times.idle.seconds if times.idle else None,
    )
    return pace._replace(limits=limits, total_s=times.total.seconds if times.total else None)
