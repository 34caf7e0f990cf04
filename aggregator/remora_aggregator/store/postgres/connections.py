"""Connections to PostgreSQL: how they are made, how long they wait, what is said of failures."""

import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from remora_aggregator.store.postgres.dsn import place_of

type Connection = psycopg.Connection[tuple[object, ...]]

_DEFAULTS: Final = {
    "fallback_application_name": "remora-aggregator",
    "connect_timeout": "10",
    # A server that vanished without a word is noticed within a minute.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    # Of several hosts the one that takes writes; after a failover that is another one.
    "target_session_attrs": "read-write",
}
_SESSION: Final = {
    # The same for the server's side: an aggregator that vanished holds nothing for long.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
    # Statements here are short; compiling them takes longer than running them.
    "jit": "off",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take.

    Attributes:
        read_s: A statement that reads.
        write_s: A statement that writes.
        turn_s: Waiting for another aggregator's transaction to end.
        idle_s: What a transaction that writes may spend between two statements.
        hung_s: A transaction that waits for its aggregator is ended by others once the statement
            that it is in, or the pause since the last one, has lasted so long.
    """

    read_s: float = 60.0
    write_s: float = 60.0
    turn_s: float = 15.0
    idle_s: float = 5.0
    hung_s: float = 30.0


LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Login:
    """Where the database is and who asks.

    Attributes:
        dsn: What libpq takes, ``postgresql://…`` or ``key=value …``; it may hold a password.
        password_file: Read whenever a connection is made, so that a new password needs no restart.
    """

    dsn: str
    password_file: Path | None = None

    def __repr__(self) -> str:
        """Leave out what may hold the password."""
        return f"Login({place_of(self.dsn)})"

    def connect(self, settings: Mapping[str, str]) -> Connection:
        """Make a connection that commits each statement by itself.

        Args:
            settings: The session's, by PostgreSQL's names.

        Raises:
            psycopg.Error: There is none to be had.
        """
        given = {**_DEFAULTS, **conninfo_to_dict(self.dsn), "client_encoding": "utf-8"}
        if self.password_file is not None:
            given["password"] = _password(self.password_file)
        connection: Connection = psycopg.connect(**given, autocommit=True)  # type: ignore[arg-type]  # libpq reads text
        try:
            _apply(connection, {**_SESSION, **settings})
        except BaseException:
            connection.close()
            raise
        return connection


def _password(path: Path) -> str:
    try:
        return path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise psycopg.OperationalError(f"the password file can't be read: {reason}") from None


def _apply(connection: Connection, settings: Mapping[str, str]) -> None:
    calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
    words = [word for pair in settings.items() for word in pair]
    connection.execute(f"select {calls}", words)


def is_well(connection: Connection) -> bool:
    """Tell whether a connection that nobody uses can be used.

    A server that says something unasked says good-bye, most likely.
    """
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0)


def milliseconds(seconds: float) -> str:
    """Write a time as PostgreSQL's settings take it; never 0, which would mean no limit."""
    return f"{max(1, round(seconds * 1000))}ms"


@lru_cache(maxsize=1000)
def marked(statement: str) -> bytes:
    """Make psycopg's marks of our own; no statement of ours holds either sign in a literal."""
    return statement.replace("%", "%%").replace("?", "%s").encode()


def without_nul[T](value: T) -> T:
    """PostgreSQL's text holds anything but NUL, see `column_text`, nor compares it."""
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\ufffd")  # type: ignore[return-value]  # text for text
    return value


@contextmanager
def told_safely() -> Iterator[None]:
    """Leave out of errors what a statement was given: rows hold what nobody may log."""
    try:
        yield
    except psycopg.Error as error:
        raise type(error)(_reason(error)) from None


def _reason(error: psycopg.Error) -> str:
    primary = error.diag.message_primary
    if primary is None:
        return " ".join(str(error).split())
    return f"{primary} ({error.sqlstate})" if error.sqlstate else primary
