"""Who stands, who makes room, and who finds none."""

from remora.http_listening.connections import Connections, Place


class Transport:
    """Of a transport only its end matters here."""

    def __init__(self):
        """Start open."""
        self.is_aborted = False

    def abort(self):
        self.is_aborted = True


def _place(connections):
    place = Place()
    place.transport = Transport()
    return place, connections.enter(place)


def test_the_one_idle_longest_makes_room():
    connections = Connections(2)
    first, second = (_place(connections)[0] for _ in range(2))
    with connections.busy(first):
        pass  # it is the second that is idle longest now

    third, has_room = _place(connections)

    assert has_room
    assert second.transport.is_aborted
    assert not first.transport.is_aborted
    assert not connections.stands(second)
    assert connections.stands(third)
    assert (len(connections), connections.made_way, connections.turned_away) == (2, 1, 0)


def test_who_is_being_answered_makes_no_room():
    connections = Connections(1)
    first, _ = _place(connections)
    with connections.busy(first):
        _, has_room = _place(connections)
        assert not has_room
        assert connections.turned_away == 1

    assert _place(connections)[1]
    assert first.transport.is_aborted


def test_who_made_room_and_ends_is_not_counted_twice():
    connections = Connections(1)
    first, _ = _place(connections)
    _place(connections)
    connections.leave(first)
    assert len(connections) == 1


def test_who_left_while_being_answered_does_not_come_back():
    connections = Connections(1)
    first, _ = _place(connections)
    with connections.busy(first):
        connections.leave(first)
    assert len(connections) == 0


async def test_the_end_waits_until_all_have_left():
    connections = Connections(2)
    places = [_place(connections)[0] for _ in range(2)]
    for place in places:
        place.transport.abort = lambda place=place: connections.leave(place)

    await connections.aclose()

    assert len(connections) == 0
