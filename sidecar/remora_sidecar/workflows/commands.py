"""What a run wants done, in this order, each thing before the next."""

from dataclasses import dataclass

from remora_sidecar.workflows.events import Event
from remora_sidecar.workflows.execution import Execution
from remora_sidecar.workflows.question import Question
from remora_sidecar.workflows.saved import Entry


@dataclass(frozen=True, slots=True)
class Save:
    """Keep these, all or none of them, before anything that follows is done."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a model; `Answered`, `Failed`, `Held` or, once abandoned, `Closed` comes back."""

    key: str
    question: Question


@dataclass(frozen=True, slots=True)
class Abandon:
    """Nobody needs this call or `Wait` any more.

    A call is cut at once and `Closed` says what it took. A wait that was abandoned is forgotten.
    """

    key: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Say `Fired` after so many milliseconds.

    They are counted from when the `Ask` of the key `since` is asked, which may have to wait for its
    turn; without one from now.
    """

    key: str
    delay_ms: int
    since: str = ""


@dataclass(frozen=True, slots=True)
class Tell:
    """Pass on an event."""

    event: Event


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over: nothing follows, and what comes in is let go."""

    execution: Execution


type Command = Save | Ask | Abandon | Wait | Tell | Finish
