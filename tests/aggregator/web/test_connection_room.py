"""The room of connections: never too many, and who is being answered stays."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from remora_aggregator.web.connection_room import ConnectionRoom


class Connection:
    """Knows whether it was ended."""

    def __init__(self) -> None:
        """Stand."""
        self.is_ended = False

    def abort(self) -> None:
        """End."""
        self.is_ended = True


class Rooms(RuleBasedStateMachine):
    """Compares the room with plain lists: idle ones in the order of falling idle, and busy ones."""

    connections = Bundle("connections")

    def __init__(self) -> None:
        """Begin with an empty room of three."""
        super().__init__()
        self.room = ConnectionRoom(3)
        self.idle = []
        self.busy = {}

    @rule(target=connections)
    def enter(self):
        new = Connection()
        is_full = len(self.idle) + len(self.busy) == 3
        if self.room.enter(new, new):
            if is_full:
                assert self.idle.pop(0).is_ended
            self.idle.append(new)
        else:
            assert is_full
            assert not self.idle
        return new

    @rule(connection=connections)
    def begin(self, connection):
        if connection not in self.idle:
            return
        self.idle.remove(connection)
        held = self.room.busy(connection)
        held.__enter__()
        self.busy[connection] = held

    @rule(connection=connections)
    def finish(self, connection):
        if held := self.busy.pop(connection, None):
            held.__exit__(None, None, None)
            self.idle.append(connection)

    @rule(connection=consumes(connections))
    def leave(self, connection):
        self.room.leave(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if held := self.busy.pop(connection, None):
            held.__exit__(None, None, None)

    @rule(connection=consumes(connections), become=st.just(None))
    def become(self, connection, become):
        del become
        now = Connection()
        self.room.become(connection, now, now)
        if connection in self.idle:
            self.idle.remove(connection)
            self.idle.append(now)
            self.room.leave(now)
            self.idle.remove(now)
        elif connection not in self.busy:
            assert now.is_ended
        else:
            self.finish(connection)
            self.leave_now(connection)

    def leave_now(self, connection):
        self.room.leave(connection)
        self.idle.remove(connection)

    @invariant()
    def agree(self):
        assert len(self.room) == len(self.idle) + len(self.busy) <= 3
        assert self.room.idle.is_set() == (not self.busy)
        assert not any(one.is_ended for one in [*self.idle, *self.busy])


Rooms.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestRooms = Rooms.TestCase
