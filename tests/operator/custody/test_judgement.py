"""What follows from how a CA's Secret was found."""

import secrets
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from remora.errors import BadRequest
from remora_operator.ca.authority import INTERCEPTION, make_root, new_key
from remora_operator.ca.rotation import Rotation, abandon, begin, retire, steady, switch
from remora_operator.custody.judgement import Found, Verdict, judge
from remora_operator.custody.known_roots import KnownRoots, root_keys

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def _rotation():
    return steady(make_root(new_key(), NOW, secrets.token_bytes, INTERCEPTION), INTERCEPTION, NOW)


FIRST, SECOND = _rotation(), _rotation()
NOTHING = KnownRoots()


def _found(rotation=None, *, known=None, held=None, unfit=(), made_here=True):
    return Found(
        is_there=rotation is not None or bool(unfit),
        rotation=rotation,
        unfit=unfit,
        known=NOTHING if known is None else KnownRoots(known.roots),
        held=held,
        is_made_here=made_here,
    )


@pytest.mark.parametrize(
    ("found", "verdict", "said"),
    [
        (_found(), Verdict.MAKE, ""),
        (_found(made_here=False), Verdict.HOLD, "is awaited"),
        (_found(FIRST), Verdict.USE, ""),
        (_found(FIRST, known=FIRST), Verdict.USE, ""),
        (_found(FIRST, known=FIRST, held=FIRST), Verdict.USE, ""),
        (_found(known=FIRST), Verdict.HOLD, "put it back from a backup"),
        (_found(known=FIRST, held=FIRST), Verdict.PUT_BACK, "find out who deleted it"),
        (_found(held=FIRST), Verdict.PUT_BACK, "put back by the leader"),
        (_found(known=FIRST, held=FIRST, made_here=False), Verdict.HOLD, "goes on with what"),
        (_found(SECOND, known=FIRST), Verdict.HOLD, "holds another root"),
        (_found(SECOND, held=FIRST), Verdict.HOLD, "goes on with what it has read"),
        (_found(SECOND, known=SECOND, held=FIRST), Verdict.USE, ""),
        (_found(FIRST, known=SECOND, held=FIRST), Verdict.HOLD, "holds another root"),
        (_found(known=SECOND, held=FIRST), Verdict.HOLD, "put it back from a backup"),
        (_found(unfit=("tls.key: is missing",)), Verdict.HOLD, "tls.key: is missing"),
        (_found(unfit=("a", "b"), held=FIRST), Verdict.HOLD, "b; until then"),
    ],
    ids=[
        "nothing was ever there", "nothing, and it is to be brought", "the first one",
        "as known", "as known and held", "gone, after a restart", "gone", "gone, with the record",
        "gone, and its owner puts it back", "another one", "another one, with no record",
        "another one that a person accepted", "one that was retired, remembered by one replica",
        "gone, and remembered as it was before a rotation", "damaged", "damaged while it is held",
    ],
)  # fmt: skip
def test_no_root_takes_anothers_place_in_silence(found, verdict, said):
    judgement = judge(found)
    assert judgement.verdict is verdict
    assert said in "\n".join(judgement.problems)
    assert bool(judgement.problems) is bool(said)


def test_every_phase_of_a_rotation_follows_on_what_was_known_before_it():
    published = begin(FIRST, SECOND.old, NOW, secrets.token_bytes)
    switched = switch(published, NOW, force=True)
    retired = retire(switched, NOW, (), longest=NOW - NOW, force=True)
    steps = [FIRST, published, switched, retired]
    for before, after in pairwise(steps):
        assert judge(_found(after, known=before, held=before)).verdict is Verdict.USE
    assert judge(_found(retired, known=FIRST)).verdict is Verdict.HOLD


ROTATIONS = [_rotation() for _ in range(3)]
DAMAGED = "damaged"
STEPS = ("begin", "switch", "retire", "abandon")


class CaInACluster(RuleBasedStateMachine):
    """A Secret, the record and replicas, as `AuthorityKeeper` deals with them; no I/O.

    What may happen: rotations by a person, loss, damage, strangers, restarts, a change of leaders.
    """

    def __init__(self) -> None:  # noqa: D107
        super().__init__()
        self.secret: Rotation | str | None = None
        self.known = NOTHING
        self.held: list[Rotation | None] = [None, None]

    @rule(replica=st.integers(0, 1), leads=st.booleans())
    def look(self, replica, leads):
        rotation = self.secret if isinstance(self.secret, Rotation) else None
        unfit = (DAMAGED,) if self.secret == DAMAGED else ()
        held = self.held[replica]
        found = Found(self.secret is not None, rotation, unfit, self.known, held, True)
        match judge(found).verdict:
            case Verdict.MAKE if leads:
                assert not self.known.roots
                self.secret = ROTATIONS[0]
            case Verdict.PUT_BACK if leads:
                assert self._follows(held)
                self.secret = held
            case Verdict.USE:
                assert self._follows(rotation)
                self.held[replica] = rotation
                if leads:
                    self.known = KnownRoots(rotation.roots)

    @rule(step=st.sampled_from(STEPS), at=st.integers(0, 2))
    def rotate(self, step, at):
        now, new = self.secret, ROTATIONS[at].old
        if not isinstance(now, Rotation) or not self._follows(now):
            return
        steps = {
            "begin": lambda: begin(now, new, NOW, secrets.token_bytes),
            "switch": lambda: switch(now, NOW, force=True),
            "retire": lambda: retire(now, NOW, (), longest=NOW - NOW, force=True),
            "abandon": lambda: abandon(now, NOW),
        }
        try:
            self.secret = steps[step]()
        except BadRequest:
            return
        self.known = KnownRoots(self.secret.roots)

    @rule()
    def delete(self):
        self.secret = None

    @rule()
    def damage(self):
        self.secret = DAMAGED if self.secret else None

    @rule(at=st.integers(0, 2))
    def put_another(self, at):
        self.secret = ROTATIONS[at]

    @rule(replica=st.integers(0, 1))
    def restart(self, replica):
        self.held[replica] = None

    def _follows(self, rotation):
        """Whether who trusts what was made known trusts what this CA signs, too."""
        keys = self.known.keys
        return not keys or not keys.isdisjoint(root_keys(rotation.roots))


TestACaInACluster = CaInACluster.TestCase
TestACaInACluster.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
