"""The rules of the Lease: never two who lead, whatever their clocks say."""

from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from remora_operator.cluster.election import Election, LeaseSpec, LeaseTimes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = LeaseTimes(15, 10.0, 2.0)


def elected(identity="a", at_s=100.0):
    election = Election(identity, TIMES)
    election.saw(None, at_s)
    election.wrote(election.wish(NOW), at_s, at_s + 1)
    return election


def test_whoever_writes_it_leads_from_when_the_request_was_sent():
    election = elected(at_s=100)
    assert election.is_leader(109.9)
    assert not election.is_leader(110.0)
    assert election.leads_until_s == 110.0


@pytest.mark.parametrize(("seconds", "may"), [(0, False), (14.9, False), (15, True), (100, True)])
def test_anothers_lease_is_taken_when_it_has_not_changed_for_its_duration(seconds, may):
    election = Election("b", TIMES)
    for at_s in (5.0, 7.0, 9.0):
        election.saw(LeaseSpec(holder="a", duration_s=15, renewed="x"), at_s)
    assert election.may_take(5.0 + seconds) is may


def test_a_renewal_begins_the_wait_anew_whatever_time_it_names():
    election = Election("b", TIMES)
    election.saw(LeaseSpec(holder="a", duration_s=15, renewed="2031-01-01"), 0)
    election.saw(LeaseSpec(holder="a", duration_s=15, renewed="1970-01-01"), 14)
    assert not election.may_take(28.9)
    assert election.may_take(29)


def test_the_holders_own_duration_counts():
    election = Election("b", TIMES)
    election.saw(LeaseSpec(holder="a", duration_s=60), 0)
    assert not election.may_take(59)
    assert election.may_take(60)


def test_a_lease_that_was_given_up_is_taken_at_once():
    election, other = elected("a"), Election("b", TIMES)
    other.saw(election.release(NOW), 500)
    assert other.may_take(500)
    assert not election.is_leader(100)


def test_who_sees_another_holder_leads_no_more():
    election = elected("a", at_s=100)
    election.saw(LeaseSpec(holder="b", duration_s=15), 101)
    assert not election.is_leader(101)


def test_a_change_of_holder_is_counted_and_a_renewal_is_not():
    first = elected("a")
    renewed = first.wish(NOW)
    other = Election("b", TIMES)
    other.saw(renewed, 0)
    taken = other.wish(NOW)
    assert (renewed.transitions, taken.transitions) == (0, 1)
    assert renewed.acquired == "2026-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("times", [(15, 15.0, 2.0), (15, 10.0, 10.0), (15, 10.0, 0.0)])
def test_times_with_which_two_could_lead_are_refused(times):
    with pytest.raises(ValueError, match="must hold"):
        LeaseTimes(*times)


class Replica:
    """One candidate: its own clock, and at most one write under way."""

    def __init__(self, identity, offset_s):  # noqa: D107
        self.election = Election(identity, TIMES)
        self.offset_s = offset_s
        self.read = -1
        self.write = None
        self.sent_s = 0.0
        self.is_committed = False


class Candidates(RuleBasedStateMachine):
    """Three replicas and a server that may be slow, and lose answers, but compares versions."""

    def __init__(self):  # noqa: D107
        super().__init__()
        self.now_s = 0.0
        self.version = 0
        self.lease = None
        self.replicas = [Replica(name, 1000.0 * i) for i, name in enumerate("abc")]

    def _clock(self, replica):
        return self.now_s + replica.offset_s

    @rule(seconds=st.floats(0, 8))
    def time_passes(self, seconds):
        self.now_s += seconds

    @rule(index=st.integers(0, 2))
    def somebody_reads_and_may_write(self, index):
        replica = self.replicas[index]
        if replica.write is not None:
            return
        now_s = self._clock(replica)
        replica.election.saw(self.lease, now_s)
        replica.read = self.version
        if replica.election.may_take(now_s):
            replica.write, replica.sent_s = replica.election.wish(NOW), now_s
            replica.is_committed = False

    @rule(index=st.integers(0, 2))
    def a_write_arrives(self, index):
        replica = self.replicas[index]
        if replica.write is None or replica.is_committed:
            return
        if replica.read != self.version:
            replica.write = None
            return
        self.version += 1
        self.lease, replica.is_committed = replica.write, True

    @rule(index=st.integers(0, 2), is_lost=st.booleans())
    def its_answer_comes_or_does_not(self, index, is_lost):
        replica = self.replicas[index]
        if replica.write is None or not replica.is_committed:
            return
        if not is_lost:
            replica.election.wrote(replica.write, replica.sent_s, self._clock(replica))
        replica.write = None

    @precondition(lambda self: self.lease is not None)
    @rule(index=st.integers(0, 2))
    def somebody_gives_up(self, index):
        replica = self.replicas[index]
        if replica.write is None and replica.election.is_leader(self._clock(replica)):
            self.version += 1
            self.lease = replica.election.release(NOW)

    @invariant()
    def one_leads_at_most(self):
        leading = [r for r in self.replicas if r.election.is_leader(self._clock(r))]
        assert len(leading) <= 1


Candidates.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestNeverTwoLead = Candidates.TestCase
