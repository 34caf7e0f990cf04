"""The seam that every dialect fits: claim a call, read its request, watch its answer.

Sans-io: bytes in, values out; no dialect touches a socket, a loop or a clock, and no
exception leaves one for bad input from agent or provider. The engine relays the bytes
itself; a dialect only watches copies, already decoded from any content-encoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

from remora.frozen import quickly_made
from remora.records import CallError, Usage
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

HELD_ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
"""A JSON answer is held up to this size to be read; usage of a larger one is unreadable."""

HELD_EVENT_LIMIT_BYTES = 4 * 1024 * 1024
"""One event of a stream is held up to this size; a larger one is skipped and noted."""


class CallRequest(NamedTuple):
    """What a request asks for.

    Attributes:
        operation: OpenTelemetry's word, such as ``chat``.
        model: The requested model; empty if the request names none.
        stream: The answer is asked for as a stream.
        states_usage: A successful answer of this operation states usage, so that usage
            that can't be read is an error (never a silent zero). False where the agent
            did not ask a stream for usage.
        problem: Why the body could not be read; empty if it could.
        variant: Which variant of the dialect the address of the call tells, where the
            answer can't be read without knowing it; the word is the dialect's own.
        samples: Asking again may give another answer (see `samples`), so that a cached
            answer is one sample of many.
        reads_back: Fetches an answer that an earlier call made, whose usage it is.
        priced_model: What decides the price, where the response model does not tell it all;
            empty where it does.
    """

    operation: str
    model: str = ""
    stream: bool = False
    states_usage: bool = True
    problem: str = ""
    variant: str = ""
    samples: bool = True
    reads_back: bool = False
    priced_model: str = ""

    def asking_for(self, model: str) -> "CallRequest":
        """Ask another model for the same; for every call that is rewritten, so a quick one."""
        return CallRequest._make((self.operation, model, *self[2:]))


def samples(temperature: object, seed: object = None, choices: object = 1) -> bool:
    """Tell whether a request asks for a sample: by its parameters, absent ones None.

    Only an explicit temperature of 0, or the default one with a seed, promises the same
    answer again; more than one choice never does.
    """
    if isinstance(choices, int) and choices > 1:
        return True
    return temperature != 0 if temperature is not None else seed is None


class Completeness(Enum):
    """Whether the answer's own format says that it was whole."""

    WHOLE = "whole"
    CUT = "cut"
    UNKNOWN = "unknown"


@quickly_made
@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What an answer stated; empty or None where it stated nothing.

    Attributes:
        model: The response model.
        finish_reason: The provider's own word of choice 0.
        response_id: The answer's own id.
        tool_names: Names of the tools that the answer calls, in order.
        error: The provider's error object, wherever it stood, whatever the status.
        usage: Stated usage; None if none was stated or it could not be read.
        usage_problem: Why usage is missing: the keys searched and the keys found.
        completeness: Whether the format's own end was seen.
        service_tier: The tier that the call was served and is billed at, such as ``flex``.
        pending: The provider is still at work: the rest is told to who reads it back.
        in_background: The answer was made apart from the call that asked for it, which
            may have stated no usage.
        output_tokens_estimate: A guess at the output seen, for calls that end before
            usage is stated; 0 where nothing was seen or the dialect does not look.
    """

    model: str = ""
    finish_reason: str = ""
    response_id: str = ""
    tool_names: tuple[str, ...] = ()
    error: CallError | None = None
    usage: Usage | None = None
    usage_problem: str = ""
    completeness: Completeness = Completeness.UNKNOWN
    service_tier: str = ""
    pending: bool = False
    in_background: bool = False
    output_tokens_estimate: int = 0


class AnswerReader(Protocol):
    """Watches one answer; bounded in memory, however long the answer is."""

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes of the body.

        Returns:
            True if the first real output of the model was in the answer so far
            (not role chunks, empty deltas or pings).
        """
        ...

    @property
    def ended(self) -> bool:
        """Whether the format's own end of a stream (such as ``[DONE]``) was seen.

        The engine records the call before it lets those bytes go, since an agent may
        stop reading there.
        """
        ...

    def finish(self) -> AnswerFacts:
        """Say what was stated. Called once, after the last byte or the cut."""
        ...


class Dialect(Protocol):
    """One wire format."""

    @property
    def name(self) -> str:
        """The dialect's stable name, such as ``openai-chat``."""
        ...

    def claims(self, head: RequestHead) -> bool:
        """Tell whether a call on a host that speaks this dialect is in it."""
        ...

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read what a request asks for from its head and whole decoded body.

        Fields that differ from call to call, such as its length or its trace, may be missing.
        """
        ...

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> AnswerReader:
        """Make the reader of the answer to this request."""
        ...

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word an answer of Remora's own as the caller's SDK expects errors.

        Args:
            refusal: What is refused and why.
            call_id: To be told in the body; empty if it is not.
        """
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """One call of many that a long-lived connection carries: what was asked and answered.

    Attributes:
        facts: Completeness ``CUT`` where the conversation ended before the answer did.
        started_s: When it was asked for, by the clock of those who feed the conversation.
        first_output_s: When the model first said something; None if it did not.
        asked: The message that asked, as far as it was to be kept; empty where the provider
            began by itself.
        answered: The message that ended the answer, as far as it was to be kept.
        request_bytes: Size of the message that asked.
        response_bytes: Size of all messages of the answer.
        notes: What a reader should know.
    """

    request: CallRequest
    facts: AnswerFacts
    started_s: float
    first_output_s: float | None = None
    asked: bytes = b""
    answered: bytes = b""
    request_bytes: int = 0
    response_bytes: int = 0
    notes: tuple[str, ...] = ()


class Conversation(Protocol):
    """Watches the messages of one connection; bounded, however long it lives.

    Messages are UTF-8 as sent; times are seconds on a clock that never goes back. No
    exception leaves it for any message.
    """

    def from_agent(self, message: bytes, now_s: float) -> Sequence[Turn]:
        """Take a message of the agent; give the turns that ended with it."""
        ...

    def from_provider(self, message: bytes, now_s: float) -> Sequence[Turn]:
        """Take a message of the provider; give the turns that ended with it."""
        ...

    def finish(self) -> Sequence[Turn]:
        """Give the turns that the end of the connection cut short. Called once."""
        ...

    @property
    def facts(self) -> AnswerFacts:
        """What was stated of the connection as a whole."""
        ...

    def take_notes(self) -> tuple[str, ...]:
        """Give the remarks since the last turn that belong to none."""
        ...


@runtime_checkable
class ConversationDialect(Dialect, Protocol):
    """A dialect whose calls follow each other, or go side by side, on one WebSocket."""

    def conversation(self, request: CallRequest, kept_bytes: int) -> Conversation:
        """Begin to watch a connection.

        Args:
            request: What the handshake asked for.
            kept_bytes: How much of the messages of a turn to keep for its record.
        """
        ...
