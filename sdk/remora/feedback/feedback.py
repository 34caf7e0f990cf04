"""What users do with answers, reported: verdicts, turns of sessions, actions.

Nothing here waits or raises for what goes wrong outside; ValueError and TypeError are for what a
program may not give. The work is done by a thread of `remora.feedback.worker`, in order.
"""

import asyncio
import atexit
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from remora.clock import Clock, SystemClock
from remora.feedback import checking
from remora.feedback.call_ids import call_id_of, normal_call_id, request_id_of
from remora.feedback.conversations import Conversations, new_signal
from remora.feedback.doors import Door, find_door
from remora.feedback.edits import Edit, checked_edit
from remora.feedback.following import call_of_request, followed_call
from remora.feedback.kinds import SignalKind, action_kind
from remora.feedback.runs import Runs, latest_unanchored
from remora.feedback.sending import Counts, FindDoor, Sending
from remora.feedback.sessions import SessionsInMemory, SessionStore
from remora.feedback.worker import EXIT_FLUSH_S, Worker
from remora.local_sidecar.finding import current_environment
from remora.tracker.active import active_session

SWEEP_S: Final = 60.0
"""Sessions that have expired are looked for so often."""


class Feedback:
    """Reports what became of answers; for use from any thread and task."""

    def __init__(
        self,
        *,
        session_dir: Path | None = None,
        is_on: bool = True,
        find: FindDoor | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare it; nothing is looked for, and no thread started, before the first report.

        Args:
            session_dir: Where the processes of a program share sessions; None: they are known to
                this process alone.
            is_on: Whether anything is reported at all; what is given is checked in any case.
            find: Finds where signals go; None: as the environment says.
            clock: For tests.
        """
        self._is_on = is_on
        self._clock = clock or SystemClock()
        self._runs = Runs()
        self._sending = Sending(find or _door_of_environment, self._clock)
        self._conversations = Conversations(_store(session_dir), self._sending, self._clock)
        self._sweep_at_s = 0.0
        self._worker = Worker(self._keep_up, self._begin_anew_after_fork)
        atexit.register(self._flush_at_exit)

    # Verdicts.

    def track_run(self, result_or_call_id: object, user: str | None = None) -> str:
        """Remember which answer the next verdict is about.

        Args:
            result_or_call_id: A call's id, or what a client gave for the answer, in any shape that
                `docs/feedback.md` lists.
            user: Who got the answer, so that verdicts given elsewhere in the program find it.

        Returns:
            The call's id; empty if the result does not tell it.
        """
        reporter = checking.checked_user(user)
        call_id = self._call_of(result_or_call_id)
        if call_id:
            self._runs.track(call_id, reporter)
        else:
            self._runs.forget(reporter)
            self._sending.tell(
                "an answer does not tell which call it is of, so no verdict can be about it: give "
                "the answer with its header fields, or call follow_calls() before the first call"
            )
        return call_id

    def user_accepted(self, score: float = 0.85, user: str | None = None) -> bool:
        """Report that a user likes the answer.

        Args:
            score: How good it was, from 0 to 1.
            user: Whose latest answer it is; None: that of this thread or task.

        Returns:
            Whether there was an answer that it can be about.
        """
        strength = checking.checked_share(score, "score")
        reporter = checking.checked_user(user)
        return self._judged(SignalKind.USER_ACCEPTED, reporter, strength=strength)

    def user_rejected(
        self,
        reason: str = "",
        user: str | None = None,
        category: str = "user_unsatisfied",
        dimension: str = "",
    ) -> bool:
        """Report that a user does not like the answer.

        Args:
            reason: Why, in words; goes along only where policy captures in full.
            user: Whose latest answer it is; None: that of this thread or task.
            category: Why, as one of `remora.outcomes.CATEGORIES`.
            dimension: What of the answer, such as ``tone``; empty: all of it.

        Returns:
            Whether there was an answer that it can be about.
        """
        reporter = checking.checked_user(user)
        return self._judged(
            SignalKind.USER_REJECTED,
            reporter,
            failure_category=checking.checked_category(category),
            dimension=checking.checked_dimension(dimension),
            text=checking.sendable(checking.checked_text(reason, "reason")),
        )

    def _judged(self, kind: SignalKind, reporter: str, **said: Any) -> bool:
        run = self._runs.tracked(reporter)
        if run is None:
            self._sending.tell(
                "a verdict was given before any answer was tracked for its user, thread or task: "
                "call track_run first"
            )
            return False
        signal = new_signal(self._clock, run.call_id, kind, reporter=reporter, **said)
        self._do(lambda: self._sending.add(signal))
        return True

    # Sessions.

    def report_pipeline(
        self,
        session_id: str,
        goal: str,
        prompt: str,
        output: object,
        model: str = "",
        call_id: str | None = None,
    ) -> str:
        """Report an answer that the user of a session is shown.

        Args:
            session_id: The program's own, of up to 256 characters.
            goal: What the work is for; may be empty.
            prompt: What the user asked; looked at in memory, never sent or stored.
            output: The answer: its text, or what a client gave for it.
            model: Not sent: the call's record has it.
            call_id: Of the answer's call; None: as the output says, else this context's latest.

        Returns:
            The call's id; empty if it is not known, and then nothing is told of the answer.
        """
        checking.checked_session(session_id)
        goal = checking.checked_goal(goal)
        prompt = checking.checked_text(prompt, "prompt")
        found = self._anchor(call_id, output)
        text = output if isinstance(output, str) else ""
        self._do(lambda: self._conversations.answer(session_id, goal, prompt, text, found))
        return found

    def report_user_turn(self, session_id: str, user_message: str, user: str | None = None) -> None:
        """Report what a user wrote after an answer: it is judged here, and dropped.

        Args:
            session_id: As of `report_pipeline`.
            user_message: What the user wrote.
            user: Who.
        """
        checking.checked_session(session_id)
        message = checking.checked_text(user_message, "user_message")
        reporter = checking.checked_user(user)
        self._do(lambda: self._conversations.message(session_id, message, reporter))

    def report_session_end(self, session_id: str) -> None:
        """Report that a session is over."""
        checking.checked_session(session_id)
        self._do(lambda: self._conversations.end(session_id))

    # Actions.

    def report_action(
        self,
        session_id: str,
        action_type: str,
        edit: Edit | None = None,
        call_id: str | None = None,
        user: str | None = None,
    ) -> None:
        """Report what was done with the latest answer of a session.

        Args:
            session_id: As of `report_pipeline`.
            action_type: ``verbatim``, ``copied``, ``edited``, ``discarded``, or the kind's name.
            edit: What was changed; what that is worth is reckoned here.
            call_id: Of the answer's call; None: the session's latest.
            user: Who did it.
        """
        checking.checked_session(session_id)
        kind, reporter = action_kind(action_type), checking.checked_user(user)
        edit = checked_edit(edit)
        given = "" if call_id is None else _given_call(call_id)
        self._do(lambda: self._conversations.action(session_id, kind, edit, given, reporter))

    # Everything else.

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Do and send now what was reported so far.

        Returns:
            Whether nothing is left that waits.
        """
        return self._worker.flush(timeout_s) and not self.counts.waiting

    async def flush_async(self, timeout_s: float = 5.0) -> bool:
        """Do as `flush`, without holding up the loop."""
        return await asyncio.to_thread(self.flush, timeout_s)

    @property
    def counts(self) -> Counts:
        """What became of signals so far."""
        counts = self._sending.counts
        return counts._replace(dropped=counts.dropped + self._worker.dropped_total)

    def close(self) -> None:
        """Send what waits, if that is quick, and end the thread."""
        atexit.unregister(self._flush_at_exit)
        self._flush_at_exit()
        self._worker.close()
        self._sending.close()

    def _flush_at_exit(self) -> None:
        self._worker.flush(EXIT_FLUSH_S)

    # In the caller's thread.

    def _do(self, job: Callable[[], None]) -> None:
        if not self._is_on:
            return
        session = active_session.get()
        near = "" if session is None else session.sidecar.control_url

        def near_by() -> None:
            self._sending.near(near)
            job()

        if not self._worker.put(near_by):
            self._sending.tell("too much is reported at once: some of it is dropped")

    def _call_of(self, result: object) -> str:
        try:
            found = call_id_of(result) or call_of_request(request_id_of(result))
        except Exception as error:  # noqa: BLE001 - attributes of foreign objects may do anything
            self._sending.tell(f"a result could not be looked at ({type(error).__name__})")
            return ""
        if found or result is None or isinstance(result, str | bytes | dict):
            return found
        followed = followed_call()
        return "" if followed is None else followed.call_id

    def _anchor(self, call_id: str | None, output: object) -> str:
        """Say which call an answer is of."""
        if call_id is not None:
            return _given_call(call_id)
        found = "" if isinstance(output, str) else self._call_of(output)
        found = found or latest_unanchored()
        if not found:
            self._sending.tell(
                "the call of a session's answer is not known, so nothing is told of it: give "
                "call_id, or call track_run or follow_calls before"
            )
        return found

    # In the worker's thread.

    def _keep_up(self, everything: bool) -> float | None:
        """Send, and look for sessions that have expired; say when to do so again."""
        is_used, now_s = self._conversations.is_used, self._clock.monotonic_s()
        if is_used and now_s >= self._sweep_at_s:
            self._sweep_at_s = now_s + SWEEP_S
            with suppress(OSError):  # the next change of a session says so
                self._conversations.sweep()
        due_s = self._sending.send(now=everything)
        if not is_used:
            return due_s
        return SWEEP_S if due_s is None else min(due_s, SWEEP_S)

    def _begin_anew_after_fork(self) -> None:
        self._runs.begin_anew_after_fork()
        self._conversations.begin_anew_after_fork()
        self._sending.begin_anew_after_fork()


def _store(session_dir: Path | None) -> SessionStore:
    if session_dir is None:
        return SessionsInMemory()
    from remora.feedback.session_files import SessionFiles  # needs a POSIX system

    return SessionFiles(session_dir)


def _door_of_environment(near: str) -> Door | None:
    return find_door(current_environment(), near)


def _given_call(call_id: str) -> str:
    if not isinstance(call_id, str) or not (found := normal_call_id(call_id)):
        raise ValueError("call_id should be 32 hex digits, or a UUID")
    return found
