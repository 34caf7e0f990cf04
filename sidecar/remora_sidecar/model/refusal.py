"""An answer that Remora itself gives, before it is worded in the caller's dialect."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from remora_sidecar.model.exchange import Headers


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request gets no answer of a provider.

    Attributes:
        status: HTTP status that official SDKs map to a sensible exception.
        type: The error's type in OpenAI's words; other dialects name theirs by the status.
        code: Stable machine-readable code.
        message: What happened and what to do.
        retry: Whether SDKs should try again by themselves.
        details: More that the ``remora`` object says, by name.
        retry_after_s: When another try may do better; None where no time is known.
    """

    status: int
    type: str
    code: str
    message: str
    retry: bool = False
    details: Mapping[str, str | None] = field(default_factory=dict)
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """A refusal in the shape of one dialect.

    Attributes:
        status: May differ from the refusal's where the dialect's services use another.
        headers: Fields beside the framing.
        body: JSON.
    """

    status: int
    headers: Headers
    body: bytes
