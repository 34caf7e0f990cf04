"""The errors that cross the edges of a part, each made for whoever catches it.

RemoraError
├── ConfigError          the person who starts a part: everything that is wrong, at once
├── BadRequest           the agent or program that called us: its fault, a 4xx
├── UpstreamError        the engine: the provider's fault, perhaps worth another try
└── Unavailable          the caller of another part of Remora: it can't be reached

Anything else that escapes is our own bug and surfaces as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class RemoraError(Exception):
    """Base of all errors that Remora raises on purpose; never raised itself."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a setting or document.

    Attributes:
        where: The variable's name, or ``file:line:column`` with the field's path.
        what: What is wrong and what would be right.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class ConfigError(RemoraError):
    """Settings or documents that can't be read; holds every problem found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the problems; the text lists one a line."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class BadRequest(RemoraError):
    """A request that can't be carried, and the status that says so to its sender."""

    def __init__(self, message: str, *, status: int = 400, code: str = "bad_request") -> None:
        """Keep the HTTP status and a stable machine-readable code."""
        super().__init__(message)
        self.status = status
        self.code = code


class UpstreamError(RemoraError):
    """The provider could not be reached or broke off."""

    def __init__(self, message: str, *, kind: str, retryable: bool = False) -> None:
        """Keep the kind (such as ``connect``) and whether another try may help."""
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable


class Unavailable(RemoraError):
    """Another part of Remora did not answer."""
