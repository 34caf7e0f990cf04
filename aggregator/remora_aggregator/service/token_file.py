"""The file of tokens: who is let in by which, read again when it has changed.

A line is ``TOKEN NAMESPACES [ROLE] [NAME]``; `#` begins a comment. Instead of a token the first
word may be the name of somebody who is known otherwise: ``system:serviceaccount:NAMESPACE:NAME`` of
a Kubernetes ServiceAccount, or a URI of a client certificate.
"""

import hashlib
import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remora.errors import ConfigError, Problem
from remora_aggregator.service.caller import Caller, Role

logger = logging.getLogger(__name__)

TOKEN_FILE_VARIABLE = "REMORA_AGGREGATOR_TOKEN_FILE"  # noqa: S105 - the variable's name
ACCOUNT = "system:serviceaccount:"
"""How Kubernetes' names of ServiceAccounts begin."""

_MIN_TOKEN_CHARS = 16
_LINE = "a line is TOKEN NAMESPACES [ROLE] [NAME]"
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_NAME = re.compile(r"[\w.@:/+-]{1,64}")
_ACCOUNT_NAME = re.compile(re.escape(ACCOUNT) + r"[a-z0-9][a-z0-9.-]*:[a-z0-9][a-z0-9.-]*")
_SEVERAL = (Role.READER, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a line gives.

    Attributes:
        namespaces: Where; None: everywhere.
        role: What one is there.
        name: Who one is.
    """

    namespaces: frozenset[str] | None
    role: Role
    name: str

    @property
    def caller(self) -> Caller:
        """Whom the line's token lets in."""
        one = next(iter(self.namespaces)) if self.namespaces and len(self.namespaces) == 1 else ""
        own = "" if self.role is Role.READER else one
        return Caller(own, self.role, self.name, self.namespaces)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A file's lines.

    Attributes:
        by_digest: By SHA-256 of the token: the tokens themselves are not kept.
        by_name: Of those who are known otherwise.
    """

    by_digest: Mapping[bytes, Grant] = field(default_factory=dict)
    by_name: Mapping[str, Grant] = field(default_factory=dict)


def parse_tokens(text: str, name: str) -> Tokens:
    """Read the lines of a token file called so.

    Raises:
        ConfigError: With every wrong line, by number; never with a token.
    """
    lines = _Lines()
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            lines.take(words)
        except ValueError as error:
            problems.append(Problem(f"{name}:{number}", str(error)))
    if not lines.digests and not lines.names and not problems:
        problems.append(Problem(name, f"holds no token; {_LINE}"))
    if problems:
        raise ConfigError(problems)
    return Tokens(lines.digests, lines.names)


class _Lines:
    """What was read so far."""

    def __init__(self) -> None:
        self.digests: dict[bytes, Grant] = {}
        self.names: dict[str, Grant] = {}

    def take(self, words: list[str]) -> None:
        grant = _grant(words)
        who = words[0]
        if who.startswith(ACCOUNT) or "://" in who:
            if who.startswith(ACCOUNT) and not _ACCOUNT_NAME.fullmatch(who):
                raise ValueError(f"a ServiceAccount is written {ACCOUNT}NAMESPACE:NAME")
            _keep(self.names, who, grant)
        elif len(who) < _MIN_TOKEN_CHARS:
            raise ValueError(f"the token is shorter than {_MIN_TOKEN_CHARS} characters")
        elif not (who.isascii() and who.isprintable()):
            raise ValueError("the token is not printable ASCII")
        else:
            _keep(self.digests, _digest(who), grant)


def _keep[K](known: dict[K, Grant], key: K, grant: Grant) -> None:
    if known.setdefault(key, grant) != grant:
        where = "*" if (seen := known[key].namespaces) is None else ",".join(sorted(seen))
        raise ValueError(f"an earlier line has the same first word, there for namespace {where}")


def _grant(words: list[str]) -> Grant:
    if not 2 <= len(words) <= 4:
        raise ValueError(_LINE)
    role = _role(words[2]) if len(words) > 2 else Role.MEMBER
    namespaces = granted_namespaces(words[1], role)
    name = words[3] if len(words) > 3 else ""
    if name and not _NAME.fullmatch(name):
        raise ValueError("the name has more than 64 characters, or others than A-Z a-z 0-9 _.@:/+-")
    # Two words have always meant everybody of the namespace.
    nameless = words[1] if len(words) == 2 else f"{words[2]} of {words[1]}"
    return Grant(namespaces, role, name or nameless)


def _role(word: str) -> Role:
    try:
        return Role(word)
    except ValueError:
        roles = ", ".join(role.value for role in Role)
        raise ValueError(f"the third word is a role: {roles}") from None


def granted_namespaces(text: str, role: Role) -> frozenset[str] | None:
    """Read the namespaces that somebody is given; None: all.

    Raises:
        ValueError: They are none, or more than the role can have.
    """
    if text != "*":
        namespaces = frozenset(text.split(","))
        if not all(map(_NAMESPACE.fullmatch, namespaces)):
            raise ValueError("the second word is a namespace, several joined by commas, or *")
        if len(namespaces) == 1 or role in _SEVERAL:
            return namespaces
    elif role in _SEVERAL:
        return None
    raise ValueError(f"a {role.value} has one namespace; a reader or an admin may have several")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


type _Stamp = tuple[int, int, int]


class TokenFile:
    """A token file as it is now."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigError: It can't be read, or a line is wrong.
        """
        self._path = path
        self._lock = threading.Lock()
        self._stamp = self._stamp_now()
        self._known = self._load()

    def grant_of_token(self, token: str) -> Grant | None:
        """Return what a token gives; None: it is none of these."""
        return self._tokens().by_digest.get(_digest(token))

    def grant_of_name(self, name: str) -> Grant | None:
        """Return what somebody is given who is known otherwise; None: nothing."""
        return self._tokens().by_name.get(name)

    def _tokens(self) -> Tokens:
        with self._lock:
            try:
                stamp = self._stamp_now()
                if stamp != self._stamp:
                    self._stamp = stamp  # complained of once
                    self._known = self._load()
                    logger.info("read %s again: it has changed", self._path)
            except ConfigError as error:
                logger.warning("what was known of tokens goes on: %s", error)
            return self._known

    def _stamp_now(self) -> _Stamp | None:
        """Tell one state of the file from another; None: there is no file now."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> Tokens:
        try:
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeError) as error:
            what = f"{self._path} can't be read: {getattr(error, 'strerror', None) or error}"
            raise ConfigError([Problem(TOKEN_FILE_VARIABLE, what)]) from None
        return parse_tokens(text, str(self._path))
