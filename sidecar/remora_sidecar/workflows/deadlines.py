"""When the time of a run and of its steps is over: its clock stands still while it is paused."""

from collections.abc import Callable
from dataclasses import dataclass

from remora_sidecar.workflows.commands import Abandon, Command, Wait
from remora_sidecar.workflows.envelope import Envelope


@dataclass(slots=True)
class _Deadline:
    envelope: Envelope
    step_id: str | None
    is_armed: bool = False


class Deadlines:
    """The time limits of one run."""

    def __init__(self, key: str, do: Callable[[Command], None]) -> None:
        """Take what keys of waits begin with, and where commands go."""
        self._key = key
        self._do = do
        self._deadlines: dict[str, _Deadline] = {}
        self._paused_since_ms: int | None = None
        self._paused_ms = 0

    def worked_ms(self, now_ms: int) -> int:
        """Return a moment by the run's clock."""
        now = now_ms if self._paused_since_ms is None else self._paused_since_ms
        return now - self._paused_ms

    def watch(self, envelope: Envelope, now_ms: int, step_id: str | None = None) -> None:
        """Wait for the end of an envelope's time, if that is limited."""
        if envelope.deadline_ms is not None:
            key = f"{self._key}/deadline/{envelope.scope}"
            self._deadlines[key] = _Deadline(envelope, step_id)
            self._arm(key, now_ms)

    def forget(self, envelope: Envelope) -> None:
        """Wait no more: what it limits is over."""
        key = f"{self._key}/deadline/{envelope.scope}"
        deadline = self._deadlines.pop(key, None)
        if deadline is not None and deadline.is_armed:
            self._do(Abandon(key))

    def forget_all(self) -> None:
        """Wait for none any more."""
        for deadline in list(self._deadlines.values()):
            self.forget(deadline.envelope)

    def pause(self, now_ms: int) -> None:
        """Stop the run's clock."""
        self._paused_since_ms = now_ms

    def resume(self, now_ms: int) -> None:
        """Let the run's clock go on."""
        if self._paused_since_ms is not None:
            self._paused_ms += now_ms - self._paused_since_ms
            self._paused_since_ms = None
        for key, deadline in self._deadlines.items():
            if not deadline.is_armed:
                self._arm(key, now_ms)

    def fired(self, key: str, now_ms: int) -> tuple[Envelope, str | None] | None:
        """Return whose time is over, and the step if it is a step's; None if it is none's."""
        deadline = self._deadlines.get(key)
        if deadline is None:
            return None
        deadline.is_armed = False
        if self._paused_since_ms is not None:
            return None
        if self._left_ms(deadline, now_ms) > 0:
            self._arm(key, now_ms)
            return None
        del self._deadlines[key]
        return deadline.envelope, deadline.step_id

    def _left_ms(self, deadline: _Deadline, now_ms: int) -> int:
        assert deadline.envelope.deadline_ms is not None  # noqa: S101 - watched ones have one
        return deadline.envelope.deadline_ms - self.worked_ms(now_ms)

    def _arm(self, key: str, now_ms: int) -> None:
        deadline = self._deadlines[key]
        deadline.is_armed = True
        self._do(Wait(key, max(0, self._left_ms(deadline, now_ms))))
