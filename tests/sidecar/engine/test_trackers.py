"""Trackers and what they leave behind."""

from remora.routing import RouteContext, RoutedSession
from remora_sidecar.engine import trackers as room
from remora_sidecar.engine.session_router import SessionRouter
from remora_sidecar.engine.sessions import MAX_ENDED, Sessions
from remora_sidecar.engine.trackers import Trackers

CONTEXT = RouteContext({}, "openai", "gpt-4o", RoutedSession("sess_1"))


def opened(sessions, tracker, *, is_routed=False):
    session = sessions.open(1, tracker_id=tracker.tracker_id)
    tracker.adopt(session, is_routed=is_routed)
    return session


def test_a_tracker_that_is_closed_ends_what_it_left_open():
    sessions = Sessions(1)
    trackers = Trackers(sessions)
    one, other = trackers.open(), trackers.open()
    left, theirs = opened(sessions, one), opened(sessions, other)
    trackers.close(one.tracker_id)
    trackers.close(one.tracker_id)
    assert (left.ended, theirs.ended) == (True, False)
    assert trackers.all() == [other]


def test_trackers_that_nobody_holds_are_forgotten_first(monkeypatch):
    monkeypatch.setattr(room, "MAX_TRACKERS", 2)
    trackers = Trackers(Sessions(1))
    held = trackers.open()
    held.holders = 1
    trackers.open()
    newest = trackers.open()
    assert trackers.all() == [held, newest]
    newest.holders = 1
    trackers.open()
    assert trackers.get(held.tracker_id) is None


def test_ten_thousand_sessions_leave_a_bounded_number_behind():
    sessions = Sessions(1)
    trackers = Trackers(sessions)
    tracker = trackers.open()
    for _ in range(10_000):
        trackers.end_session(opened(sessions, tracker, is_routed=True))
    assert tracker.sessions == {}
    left = sessions.all()[1:]
    assert len(left) == MAX_ENDED
    assert all(session.router is None and session.history.maxlen == 0 for session in left)


async def test_without_a_connection_calls_go_as_they_are():
    tracker = Trackers(Sessions(1)).open()
    advice = await tracker.router.ask(CONTEXT)
    assert advice.model is None
    assert "not connected" in advice.note


async def test_the_newest_connection_is_asked_and_the_older_told_so():
    tracker = Trackers(Sessions(1)).open()
    older, newer = SessionRouter(), SessionRouter()
    tracker.router.attach_router(older)
    tracker.router.attach_router(newer)
    assert "another connection" in older.closed_because
    tracker.router.detach_router(older)
    tracker.router.close("left")
    assert newer.closed_because == "left"
