"""What shared budgets have come to: which are asked for, and cursors into lists of them. Pure."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

from remora.errors import BadRequest
from remora_aggregator.tasks.amounts import NO_LIMIT, NOTHING, Amount, Limit
from remora_aggregator.tasks.leases import AccountKey, Book, Per
from remora_aggregator.tasks.selection import matches

PAGE_BUDGETS: Final = 500
"""The most that one page of budgets has."""

PERS: Final[tuple[Per, ...]] = get_args(Per.__value__)

_SIGN: Final = "b"
_MOST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class SharedBudget:
    """One account, as people look at it.

    Attributes:
        limit: As a sidecar's policy said it last; no limit: none has since the last upgrade.
        spent: By all leases.
        leased: What sidecars may still spend by leases that have not ended.
        asked_unix_ns: When a sidecar asked for some of it last; 0: not known.
    """

    key: AccountKey
    limit: Limit = NO_LIMIT
    spent: Amount = NOTHING
    leased: Amount = NOTHING
    asked_unix_ns: int = 0

    @property
    def resets_unix_ns(self) -> int | None:
        """When its window ends; None: it has none."""
        return self.key.window_start_unix_ns + self.key.window_ns if self.key.window_ns else None


@dataclass(frozen=True, slots=True)
class BudgetSelection:
    """Which budgets match; what is empty does not filter.

    Attributes:
        namespaces: Any of these; None: all.
        budget_glob: Of names: `*` stands for any characters, `?` for one.
        key_glob: Of ids of tasks, sessions or agents.
        per: Counted for any of these.
        ends_after_unix_ns: Whose window has not ended by then, or that have none.
    """

    namespaces: frozenset[str] | None
    budget_glob: str = ""
    key_glob: str = ""
    per: frozenset[Per] = frozenset()
    ends_after_unix_ns: int = 0

    @property
    def has_globs(self) -> bool:
        """Whether every account has to be looked at by `takes`."""
        return bool(self.budget_glob or self.key_glob)

    def takes(self, key: AccountKey) -> bool:
        """Tell whether an account matches; what stores answer by SQL is measured by this."""
        ends = key.window_start_unix_ns + key.window_ns
        return (
            (self.namespaces is None or key.namespace in self.namespaces)
            and (not self.per or key.per in self.per)
            and (not key.window_ns or ends > self.ends_after_unix_ns)
            and (not self.budget_glob or matches(self.budget_glob, key.budget))
            and (not self.key_glob or matches(self.key_glob, key.key))
        )


@dataclass(frozen=True, slots=True)
class BudgetPage:
    """Some budgets in the order of their keys, and where to go on; None: there are no more."""

    budgets: Sequence[SharedBudget]
    next: AccountKey | None = None


def budget_of(book: Book, now_unix_ns: int) -> SharedBudget:
    """Look at a book that has at least every lease with a grant that ended."""
    ended = [lease.granted for lease in book.leases.values() if lease.ends_unix_ns <= now_unix_ns]
    leased = Amount(
        max(0, book.granted.picousd - sum(granted.picousd for granted in ended)),
        max(0, book.granted.tokens - sum(granted.tokens for granted in ended)),
    )
    return SharedBudget(book.key, book.limit, book.spent, leased, book.asked_unix_ns)


def budget_cursor(key: AccountKey | None) -> str:
    """Write where to go on as a cursor; empty: nowhere."""
    if key is None:
        return ""
    text = json.dumps(key, ensure_ascii=False, separators=(",", ":"))
    return _SIGN + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def budget_place(cursor: str) -> AccountKey | None:
    """Read a cursor; None if none is given.

    Raises:
        BadRequest: It is none of ours.
    """
    if not cursor:
        return None
    try:
        padded = cursor[1:] + "=" * (-len(cursor[1:]) % 4)
        key = _account(json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)))
        if budget_cursor(key) == cursor:
            return key
    except (ValueError, binascii.Error, RecursionError):
        pass
    raise BadRequest(f"cursor {cursor[:40]!r} is none of this aggregator's")


def _account(parts: object) -> AccountKey:
    if not isinstance(parts, list) or len(parts) != len(AccountKey._fields):
        raise ValueError("no account")
    *texts, start, span = parts
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise ValueError("no text")
    if not all(type(number) is int and 0 <= number <= _MOST for number in (start, span)):
        raise ValueError("no time")
    namespace, budget, per, key = texts
    if per not in PERS:
        raise ValueError("no budget is counted so")
    return AccountKey(namespace, budget, per, key, start, span)
