"""What one key used of one budget; and accounts that the same calls count on, kept as one.

Most budgets count by the same few keys: whatever a call reserves on one of its session's accounts
it reserves on the others. So such accounts share a *tally*, in which it is written once, and each
holds beside it only what was its own before. Pure; one thread writes, others may read.
"""

from typing import NamedTuple, Optional

type Held = tuple[int, int, int, int]
"""Spent money, spent tokens; money and tokens spent or reserved. Money is in picodollars.

Replaced as one value, so that a reader in another thread never sees half of a change.
"""

type Holding = tuple[int, int]
"""Money and tokens that a call holds."""

type State = tuple[int, int, int, int, tuple[Held, ...], int, int]
"""The figures of a tally's accounts: `Held` that they share, what each has beside it, and how much
money and tokens may be used of what they share before the first account is used up.

One value, replaced as a whole: it is a reader's, an admission's and a receipt's at once.
"""

NOTHING: Held = (0, 0, 0, 0)

NO_LIMIT = 1 << 200
"""More than any sum."""


_UNKNOWN = (-NO_LIMIT, -NO_LIMIT)
"""The room of a tally that has to look at its accounts first: nothing fits it."""


class Lease(NamedTuple):
    """A share of a budget that several pods draw on.

    Attributes:
        ceiling_picousd: What money spent or reserved here may come to.
        ceiling_tokens: The same of tokens.
        others_picousd: Spent by others, as the aggregator said last.
        others_tokens: The same of tokens.
        ends_s: When it may no longer be used, by the monotonic clock.
    """

    ceiling_picousd: int
    ceiling_tokens: int
    others_picousd: int
    others_tokens: int
    ends_s: float


class Account:
    """What one key has used in one window.

    Attributes:
        key: Whose it is.
        window: The number of its window since the epoch.
        reported: Money and tokens that the aggregator has been told of.
        lease: The share it may use, where the budget is shared.
    """

    __slots__ = ("_calls", "_is_recent", "_place", "_seen", "key", "lease", "reported", "window")

    def __init__(
        self, key: str, window: int, held: Held = NOTHING, reported: Holding = (0, 0)
    ) -> None:
        """Begin with what is known of it."""
        self.key = key
        self.window = window
        self.reported = reported
        self.lease: Lease | None = None
        # Replaced as one, for readers in other threads: a value moves from one tally to the next.
        self._place: tuple[Tally | None, Held] = (None, held)
        self._calls = 0
        self._is_recent = True
        self._seen = 0

    @property
    def held(self) -> Held:
        """Its figures."""
        tally, own = self._place
        return own if tally is None else added(tally.sums, own)

    @property
    def own(self) -> Held:
        """Its figures without those that it shares."""
        return self._place[1]

    @property
    def tally(self) -> Optional["Tally"]:
        """Where those stand; None while it shares none."""
        return self._place[0]

    @property
    def calls(self) -> int:
        """In flight, that reserved something of it."""
        tally = self._place[0]
        return self._calls if tally is None else self._calls + tally.begun - tally.ended

    @property
    def is_recent(self) -> bool:
        """Whether it was used since room was last looked for."""
        tally = self._place[0]
        return self._is_recent or (tally is not None and tally.begun != self._seen)

    @is_recent.setter
    def is_recent(self, is_recent: bool) -> None:
        tally = self._place[0]
        self._is_recent = is_recent
        if tally is not None:
            self._seen = tally.begun

    def join(self, tally: "Tally") -> None:
        """Share what calls reserve and spend from now on."""
        self.leave()
        self._seen = tally.begun
        self._place = tally, self._place[1]

    def leave(self) -> None:
        """Share nothing any more, nor do those with whom it did: they count the same no longer."""
        if (tally := self._place[0]) is not None:
            tally.dissolve()

    def stand_alone(self) -> None:
        """Take over what it shared; called by its tally."""
        self._calls, self._is_recent = self.calls, self.is_recent
        self._place = None, self.held

    def reserve(self, picousd: int, tokens: int) -> None:
        """Hold an amount for a call."""
        self.hold(picousd, tokens)
        self._calls += 1
        self._is_recent = True

    def hold(self, picousd: int, tokens: int) -> None:
        """Hold an amount for a call that holds something already."""
        self._add((0, 0, picousd, tokens))

    def charge(self, picousd: int, tokens: int) -> None:
        """Charge what was used beside all that is held."""
        self._add((picousd, tokens, picousd, tokens))
        self._is_recent = True

    def settle(self, used: Holding, reserved: Holding) -> None:
        """Charge what was used and give back what was held."""
        self._add((*used, used[0] - reserved[0], used[1] - reserved[1]))
        self._calls -= 1

    def _add(self, figures: Held) -> None:
        tally, own = self._place
        self._place = tally, added(own, figures)
        if tally is not None:
            tally.look_again()

    def in_window(self, window: int) -> "Account":
        """Return the account of the same key in another window.

        A clock that is set back by a little does not begin a window anew; set back by more,
        it takes what was spent with it, so that no step of the clock gives money back.
        """
        if window > self.window:
            return Account(self.key, window)
        if window < self.window - 1:
            self.window = window
        return self


class Tally:
    """What several accounts have in common since they came together.

    Calls keep the tally they reserved on. Once its accounts count different calls (one began a new
    window, or was forgotten, or policy changed) it is dissolved: each account then has figures of
    its own again, and what is still to be settled is settled on each.

    Attributes:
        accounts: That share it.
        limits: The most money and tokens that may be used of each.
        is_strict: Whether their budgets hold the most that a call may cost.
        is_shared: Whether other pods count on them as well.
        state: What calls added to all of them, and what the next one is asked by.
        begun: Calls that reserved.
        ended: Those of them that were settled.
        is_open: Whether it was not dissolved.
    """

    __slots__ = (
        "accounts", "begun", "ended", "is_open", "is_shared", "is_strict", "limits", "state",
    )  # fmt: skip

    def __init__(
        self,
        accounts: tuple[Account, ...],
        limits: tuple[Holding, ...],
        *,
        is_strict: bool,
        is_shared: bool,
    ) -> None:
        """Bring accounts together."""
        self.accounts = accounts
        self.limits = limits
        self.is_strict = is_strict
        self.is_shared = is_shared
        self.begun = self.ended = 0
        self.is_open = True
        self.state: State = (*NOTHING, (), *_UNKNOWN)
        for account in accounts:
            account.join(self)

    @property
    def sums(self) -> Held:
        """What calls added to all of them."""
        return self.state[:4]

    def serves(
        self, accounts: tuple[Account, ...], limits: tuple[Holding, ...], *, is_strict: bool
    ) -> bool:
        """Tell whether it is what these accounts have in common."""
        mine = self.accounts, self.limits, self.is_strict
        return self.is_open and mine == (accounts, limits, is_strict)

    def look(self) -> bool:
        """Work out what the next call is asked by; False where that is known, or will never be."""
        if not self.is_open or self.state[5:] != _UNKNOWN:
            return False
        own = tuple([account.own for account in self.accounts])
        each = list(zip(self.limits, own, strict=True))
        room_picousd = min([limit[0] - held[2] for limit, held in each])
        room_tokens = min([limit[1] - held[3] for limit, held in each])
        self.state = (*self.sums, own, room_picousd, room_tokens)
        return True

    def look_again(self) -> None:
        """Work it out anew before the next call is asked: an account was changed by itself."""
        self.state = (*self.state[:5], *_UNKNOWN)

    @property
    def snapshot(self) -> State:
        """The figures of now, to be read later."""
        self.look()
        if self.is_open:
            return self.state
        return (*NOTHING, tuple([account.held for account in self.accounts]), *_UNKNOWN)

    def reserve(self, picousd: int, tokens: int) -> None:
        """Hold an amount for a call on every account."""
        if self.is_open:
            self._add((0, 0, picousd, tokens))
            self.begun += 1
            return
        for account in self.accounts:
            account.reserve(picousd, tokens)

    def hold(self, picousd: int, tokens: int) -> None:
        """Hold an amount for a call that holds something already."""
        if self.is_open:
            self._add((0, 0, picousd, tokens))
            return
        for account in self.accounts:
            account.hold(picousd, tokens)

    def settle(self, used: Holding, reserved: Holding) -> None:
        """Charge every account what a call used, and give back what it held."""
        if self.is_open:
            self._add((*used, used[0] - reserved[0], used[1] - reserved[1]))
            self.ended += 1
            return
        for account in self.accounts:
            account.settle(used, reserved)

    def _add(self, figures: Held) -> None:
        state = self.state
        self.state = (*added(state[:4], figures), *state[4:])

    def dissolve(self) -> None:
        """Let each account go on alone."""
        if self.is_open:
            for account in self.accounts:
                account.stand_alone()
            self.is_open = False
            self.look_again()


def added(one: Held, other: Held) -> Held:
    """Add figures."""
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def live_lease(account: Account, now_s: float) -> Lease | None:
    """Return the lease of an account, if it may be used now."""
    lease = account.lease
    return lease if lease is not None and now_s < lease.ends_s else None
