"""The places of connections: never too many, and who is being answered stays."""

from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from remora.http_listening.connections import Connections, Place


class Standing(Place):
    """Knows whether it was ended."""

    def __init__(self):
        """Stand."""
        super().__init__()
        self.is_ended = False

    def abort(self):
        """End."""
        self.is_ended = True


class Places(RuleBasedStateMachine):
    """Compares them with plain lists: idle ones in the order of falling idle, and busy ones."""

    places = Bundle("places")

    def __init__(self):
        """Begin with room for three."""
        super().__init__()
        self.connections = Connections(3)
        self.idle = []
        self.busy = {}

    @rule(target=places)
    def enter(self):
        new = Standing()
        is_full = len(self.idle) + len(self.busy) == 3
        if self.connections.enter(new):
            if is_full:
                assert self.idle.pop(0).is_ended
            self.idle.append(new)
        else:
            assert is_full
            assert not self.idle
        return new

    @rule(place=places)
    def begin(self, place):
        if place not in self.idle:
            return
        self.idle.remove(place)
        held = self.connections.busy(place)
        held.__enter__()
        self.busy[place] = held

    @rule(place=places)
    def finish(self, place):
        if held := self.busy.pop(place, None):
            held.__exit__(None, None, None)
            self.idle.append(place)

    @rule(place=consumes(places))
    def leave(self, place):
        self.connections.leave(place)
        if place in self.idle:
            self.idle.remove(place)
        if held := self.busy.pop(place, None):
            held.__exit__(None, None, None)

    @invariant()
    def agree(self):
        assert len(self.connections) == len(self.idle) + len(self.busy) <= 3
        assert self.connections.nothing_asked.is_set() == (not self.busy)
        standing = [*self.idle, *self.busy]
        assert all(self.connections.stands(place) for place in standing)
        assert not any(place.is_ended for place in standing)


Places.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestPlaces = Places.TestCase
