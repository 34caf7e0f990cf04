"""What one input leads to: entries to save, which come first, and then commands."""

from remora_sidecar.workflows.commands import Command, Save
from remora_sidecar.workflows.saved import Entry
from remora_sidecar.workflows.state import RunState


class Outbox:
    """Collects what is to be done.

    Entries are taken into the run's state at once, and saved together before any command is
    carried out: whatever happens then, what was done is known.
    """

    def __init__(self, state: RunState) -> None:
        """Take the state that entries change."""
        self._state = state
        self._entries: list[Entry] = []
        self._commands: list[Command] = []

    def save(self, entry: Entry) -> None:
        """Have an entry saved."""
        self._state.add(entry)
        self._entries.append(entry)

    def do(self, command: Command) -> None:
        """Have a command carried out."""
        self._commands.append(command)

    def drain(self) -> list[Command]:
        """Return what is to be done, and begin anew."""
        saved = [Save(tuple(self._entries))] if self._entries else []
        drained = [*saved, *self._commands]
        self._entries.clear()
        self._commands.clear()
        return drained
