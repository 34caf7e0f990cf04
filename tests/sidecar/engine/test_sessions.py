from decimal import Decimal

from remora.records import CallError, CallRecord, Cost, Usage
from remora_sidecar.engine import sessions as room
from remora_sidecar.engine.sessions import Sessions


def _record(**fields):
    return CallRecord(call_id="c", started_unix_ns=1, provider="openai", **fields)


def test_totals_keep_unknown_apart_from_nothing():
    session = Sessions(1).open(2)
    session.add(_record(requested_model="m", latency_s=1.0, usage=Usage(10, 5)))
    totals = session.totals["m"]
    assert (totals.input_tokens, totals.output_tokens) == (10, 5)
    assert (totals.cost_usd, totals.unpriced) == (None, 1)
    cost = Cost(Decimal("0.25"), Decimal("0.1"), Decimal("0.15"), "s", "d")
    session.add(_record(requested_model="m", latency_s=1.0, usage=Usage(1, 1), cost=cost))
    assert (totals.cost_usd, totals.unpriced) == (Decimal("0.25"), 1)


def test_usage_that_could_not_be_read_is_counted():
    session = Sessions(1).open(2)
    error = CallError("usage_unreadable", "no usage")
    session.add(_record(requested_model="m", status_code=200, error=error))
    assert session.totals["m"].unread_usage == 1


def test_session_ids_are_long_and_never_the_same():
    sessions = Sessions(1)
    ids = {sessions.open(2).session_id for _ in range(1000)}
    assert len(ids) == 1000
    assert min(map(len, ids)) >= 32


def test_an_ended_session_still_takes_late_calls():
    sessions = Sessions(1)
    session = sessions.open(2)
    assert sessions.end(session.session_id)
    assert sessions.get(session.session_id) is session
    assert not sessions.end("sess_unknown")


def test_the_oldest_ended_session_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(room, "MAX_SESSIONS", 3)
    sessions = Sessions(1)
    first, second, third = (sessions.open(n) for n in range(3))
    sessions.end(second.session_id)
    fourth = sessions.open(4)
    assert sessions.all()[1:] == [first, third, fourth]
    sessions.open(5)
    assert sessions.get(first.session_id) is None


def test_a_flood_of_model_names_is_bounded():
    session = Sessions(1).default
    for number in range(1000):
        session.add(_record(requested_model=f"m{number}"))
    assert len(session.totals) == 101
    assert session.totals["other models"].calls == 900
