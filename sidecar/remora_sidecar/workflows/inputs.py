"""What a run is told: answers, failures, time and people's requests."""

from dataclasses import dataclass

from remora_sidecar.workflows.amounts import Bill


@dataclass(frozen=True, slots=True)
class Answered:
    """A call came back with an answer.

    Attributes:
        key: Of the `Ask`.
        text: The answer's text; empty where the model refused or said nothing.
        bill: What it took.
        was_cut: Whether it ended at its longest length.
    """

    key: str
    text: str
    bill: Bill
    was_cut: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A call came to nothing.

    Attributes:
        key: Of the `Ask`.
        code: Kind of failure, such as ``provider_error``, ``rate_limited``, ``budget_exceeded``.
        message: For people; quotes no prompt or answer.
        bill: What it took all the same; None: it was never made, there is no receipt.
        may_retry: Whether another try may help.
        may_move: Whether another model may help.
    """

    key: str
    code: str
    message: str = ""
    bill: Bill | None = None
    may_retry: bool = True
    may_move: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """A call that was abandoned is over; one comes for each.

    Attributes:
        key: Of the `Ask`.
        bill: What it took; None: it was never made.
    """

    key: str
    bill: Bill | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A call was refused since its task is paused: the run pauses, and asks again once resumed."""

    key: str


@dataclass(frozen=True, slots=True)
class Fired:
    """The time of a `Wait` has come."""

    key: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing new is to be asked until `Resume`; calls in flight go on."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on after a `Pause`."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """End it now.

    Attributes:
        reason: For people.
    """

    reason: str = "cancelled"


@dataclass(frozen=True, slots=True)
class BudgetFreed:
    """Something was settled or raised in an envelope that other runs share."""


type Input = Answered | Failed | Closed | Held | Fired | Pause | Resume | Cancel | BudgetFreed
