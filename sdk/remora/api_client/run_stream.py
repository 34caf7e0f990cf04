"""The events of one run, from its order to its end, over broken connections and restarts."""

import json
import threading
import time
from collections.abc import Generator
from typing import Any, Final, Self
from urllib.parse import quote

from remora.api_client.amounts import with_amounts
from remora.api_client.cut import Cut
from remora.api_client.failures import ApiError, NotConnected, ProviderError, RunTimeout
from remora.api_client.http_calls import Calls, OpenAnswer, written
from remora.api_client.orders import Order
from remora.api_client.server_sent_events import ServerSentEvent
from remora.errors import RemoraError, Unavailable

MAX_BROKEN: Final = 12
"""Connections that may break one after the other without an event between."""

SILENCE_S: Final = 45.0
"""For how long a run may say nothing at least: its stream has a beat every 15 seconds."""

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_GIVE_UP_S: Final = 5.0
_PASSING: Final = frozenset({502, 503, 504})
"""Statuses of a sidecar that stops or starts."""

_ENDS: Final = frozenset({"step_completed", "step_failed", "step_skipped"})
_EVENT_STREAM: Final = {"Accept": "text/event-stream"}


class RunStream:
    """Iterates over the events of a run, each a dict with its ``type``; the last is ``final``.

    A connection that breaks is opened again, and goes on after the last event that came; what a
    sidecar tells again after its restart is passed over. Closing it lets the run go on.

    Attributes:
        execution_id: Of the run; empty until it is known.
    """

    def __init__(
        self,
        calls: Calls,
        order: Order | None,
        *,
        execution_id: str = "",
        timeout_s: float | None = None,
    ) -> None:
        """Say which run; nothing is sent before the first event is asked for.

        Args:
            calls: To the sidecar.
            order: What to run; None: the run is there.
            execution_id: Of the run that is there.
            timeout_s: For how long to wait for its end; None: as long as it takes.
        """
        self.execution_id = execution_id
        self._calls = calls
        self._order = order
        self._content: bytes | None = None
        self._timeout_s = timeout_s
        self._deadline_s: float | None = None
        self._event_id = ""
        self._told: set[tuple[str, str]] = set()
        self._may_have_begun = False
        self._events = self._followed()

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> dict[str, Any]:
        """Wait for the next event.

        Raises:
            ApiError: The run was refused, or is not known.
            ConfigError: The workflow or its input has problems.
            RunTimeout: It took too long; the run goes on.
            Unavailable: The sidecar does not answer.
        """
        return next(self._events)

    def close(self) -> None:
        """Stop listening; the run goes on."""
        self._events.close()

    def again(self) -> "RunStream":
        """Give the rest of the events, after this was interrupted or closed."""
        rest = RunStream(
            self._calls, self._order, execution_id=self.execution_id, timeout_s=self._timeout_s
        )
        rest._content, rest._event_id, rest._told = self._content, self._event_id, self._told
        return rest

    def result(self) -> dict[str, Any]:
        """Wait for the end, and give what the run came to; whoever interrupts this cancels it.

        Raises:
            As ``__next__`` does.
        """
        try:
            for event in self:
                if event["type"] == "final":
                    return dict(event["result"])
        except RunTimeout:
            self.abandon()
            raise
        except RemoraError:
            raise
        except BaseException:
            self.abandon()
            raise
        finally:
            self.close()
        raise Unavailable("the stream of the run ended before the run")

    def abandon(self) -> None:
        """Cancel the run, as far as that can be had within a few seconds; raises nothing."""
        quick = Calls(self._calls.whereabouts, _GIVE_UP_S, 1, Cut())
        try:
            execution_id = self.execution_id or self._id_by_key(quick)
            if execution_id:
                quick.post(execution_path(execution_id, "cancel"), {"reason": "interrupted"})
        except RemoraError:
            return

    def abandon_soon(self) -> None:
        """Cancel the run on a thread that the program's end waits for."""
        threading.Thread(target=self.abandon, name="remora-cancel-run").start()

    def _id_by_key(self, calls: Calls) -> str:
        """Learn which run an order became whose answer never came: by its key."""
        if not self._may_have_begun or self._content is None:
            return ""
        with calls.opened("POST", "/workflows/stream", self._content, _EVENT_STREAM) as answer:
            for event in answer.events():
                return str(_value(event).get("execution_id", ""))
        return ""

    # following

    def _followed(self) -> Generator[dict[str, Any]]:
        if self._timeout_s is not None:
            self._deadline_s = time.monotonic() + self._timeout_s
        broken = 0
        while True:
            try:
                with self._opened() as answer:
                    for event in answer.events(self._wait_s):
                        value = self._taken(event)
                        if value is None:
                            continue
                        broken = 0
                        yield value
                        if value["type"] == "final":
                            return
                raise Unavailable("the sidecar ended the stream before the run was over")
            except (Unavailable, ProviderError) as error:
                broken += 1
                self._check_time()
                if not self._may_come_back(error):
                    raise
                if broken > MAX_BROKEN:
                    raise Unavailable(self._lost(error)) from error
            self._calls.cut.pause(self._pause_s(broken))

    def _opened(self) -> OpenAnswer:
        """Order the run, or go on where the last connection broke."""
        if self.execution_id:
            headers = {**_EVENT_STREAM}
            if self._event_id:
                headers["Last-Event-ID"] = self._event_id
            path = execution_path(self.execution_id, "events")
            return self._calls.opened("GET", path, None, headers)
        return self._calls.retried(self._ordered)

    def _ordered(self) -> OpenAnswer:
        if self._content is None:
            assert self._order is not None  # noqa: S101 - else there is an id
            self._content = written(self._order.body())
        began_before, self._may_have_begun = self._may_have_begun, True
        try:
            return self._calls.opened("POST", "/workflows/stream", self._content, _EVENT_STREAM)
        except (NotConnected, ApiError) as error:
            if not isinstance(error, ProviderError):  # it was refused, or nobody took it
                self._may_have_begun = began_before
            raise

    def _may_come_back(self, error: RemoraError) -> bool:
        """Tell whether another try may help: the run may be there, and the sidecar comes back."""
        if isinstance(error, ProviderError):
            return error.status_code in _PASSING
        return bool(self.execution_id) or self._may_have_begun

    def _lost(self, error: RemoraError) -> str:
        if not self.execution_id:
            return str(error)
        return f"{error}; the run {self.execution_id} goes on there if it is still known"

    # time

    def _wait_s(self) -> float:
        self._check_time()
        silence_s = max(self._calls.timeout_s, SILENCE_S)
        if self._deadline_s is None:
            return silence_s
        return max(0.001, min(silence_s, self._deadline_s - time.monotonic()))

    def _check_time(self) -> None:
        if self._deadline_s is not None and time.monotonic() >= self._deadline_s:
            raise RunTimeout(self._timeout_s or 0, self.execution_id)

    def _pause_s(self, broken: int) -> float:
        pause_s: float = min(_FIRST_PAUSE_S * 2 ** (broken - 1), _LONGEST_PAUSE_S)
        return pause_s if self._deadline_s is None else min(pause_s, self._wait_s())

    # events

    def _taken(self, event: ServerSentEvent) -> dict[str, Any] | None:
        """Read an event; None if it was told before."""
        value = _value(event)
        self._event_id = event.id
        self.execution_id = self.execution_id or str(value.get("execution_id", ""))
        kind = value["type"]
        if kind == "started" or kind in _ENDS:
            told = kind, str(value.get("step_id", ""))
            if told in self._told:
                return None
            self._told.add(told)
        return value


def execution_path(execution_id: str, what: str = "") -> str:
    """Return the path of a run, or of a call about it."""
    path = f"/executions/{quote(execution_id, safe='')}"
    return f"{path}/{what}" if what else path


def _value(event: ServerSentEvent) -> dict[str, Any]:
    try:
        value = with_amounts(dict(json.loads(event.data)))
    except (TypeError, ValueError, RecursionError):
        raise Unavailable("an event of the stream is no JSON object") from None
    return {"type": event.type, **value}
