"""Who asks: the namespace that a token names, or `local` where no tokens are used."""

import hmac
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from remora.errors import BadRequest, ConfigError, Problem

LOCAL_NAMESPACE = "local"
TOKEN_FILE_VARIABLE = "REMORA_AGGREGATOR_TOKEN_FILE"  # noqa: S105 - the variable's name

_MIN_TOKEN_CHARS = 16

type Metadata = Iterable[tuple[str, str | bytes]]


class Authenticator(Protocol):
    """Says which namespace a call comes from."""

    def namespace(self, metadata: Metadata) -> str:
        """Return the caller's namespace; raises BadRequest with status 401."""
        ...


class Anyone:
    """For an aggregator on loopback: everybody is this machine."""

    def namespace(self, metadata: Metadata) -> str:
        """Return `local`."""
        del metadata
        return LOCAL_NAMESPACE


@dataclass(frozen=True, slots=True)
class _Read:
    modified_ns: int
    tokens: Mapping[bytes, str]


class TokenFile:
    """Tokens in a file, a line `TOKEN NAMESPACE` each; read again when it has changed."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigError: It can't be read, or a line is wrong.
        """
        self._path = path
        self._lock = threading.Lock()
        self._read = self._load()

    def namespace(self, metadata: Metadata) -> str:
        """Return the namespace of the call's token; raises BadRequest with status 401."""
        given = _bearer(metadata)
        if given is None:
            raise BadRequest("a token is needed: authorization: Bearer TOKEN", status=401)
        found = [
            namespace
            for token, namespace in self._tokens().items()
            if hmac.compare_digest(token, given)
        ]
        if not found:
            raise BadRequest("the token is not one of this aggregator's", status=401)
        return found[0]

    def _tokens(self) -> Mapping[bytes, str]:
        with self._lock:
            try:
                if self._path.stat().st_mtime_ns != self._read.modified_ns:
                    self._read = self._load()
            except (OSError, ConfigError):
                pass  # while the file is being replaced, what was known goes on
            return self._read.tokens

    def _load(self) -> _Read:
        try:
            modified_ns = self._path.stat().st_mtime_ns
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeError) as error:
            what = f"{self._path} can't be read: {getattr(error, 'strerror', None) or error}"
            raise ConfigError([Problem(TOKEN_FILE_VARIABLE, what)]) from None
        return _Read(modified_ns, parse_tokens(text, str(self._path)))


def parse_tokens(text: str, name: str) -> dict[bytes, str]:
    """Read the lines of a token file; `#` begins a comment.

    Raises:
        ConfigError: With every wrong line, by number; never with a token.
    """
    tokens: dict[bytes, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if what := _wrong(words) or _contradicts(words, tokens):
            problems.append(Problem(f"{name}:{number}", what))
        else:
            tokens[words[0].encode()] = words[1]
    if not tokens and not problems:
        problems.append(Problem(name, "holds no token; a line is TOKEN NAMESPACE"))
    if problems:
        raise ConfigError(problems)
    return tokens


def _wrong(words: list[str]) -> str:
    if len(words) != 2:
        return "a line is TOKEN NAMESPACE"
    if len(words[0]) < _MIN_TOKEN_CHARS:
        return f"the token is shorter than {_MIN_TOKEN_CHARS} characters"
    return ""


def _contradicts(words: list[str], tokens: Mapping[bytes, str]) -> str:
    known = tokens.get(words[0].encode())
    if known is None or known == words[1]:
        return ""
    return f"the token of an earlier line, there for namespace {known}"


def _bearer(metadata: Metadata) -> bytes | None:
    for key, value in metadata:
        if key == "authorization":
            text = value.encode("utf-8", "replace") if isinstance(value, str) else value
            scheme, _, token = text.partition(b" ")
            return token.strip() if scheme.lower() == b"bearer" else None
    return None
