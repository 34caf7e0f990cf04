"""Puts load on a route and times it: one function per way of asking."""

import contextlib
import itertools
import selectors
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Self

from bench import asking
from bench.asking import Ask
from bench.connection import Connection, Route

PLAIN = asking.chat(temperature=0.2)
"""A call as agents make them: another question each time, and a sample wanted."""
STREAM = asking.chat(temperature=0.2, stream=True)
KEPT = asking.chat()
"""A call whose answer a cache may keep, and never has yet."""


class Client:
    """One connection that asks one thing after the other; `with` closes it."""

    def __init__(self, route: Route, *asks: Ask) -> None:
        """Connect."""
        self._connection = Connection(route)
        self._asks = itertools.cycle(asks)
        self._asked = asks[0]

    def ask(self) -> None:
        """Ask the next."""
        self._asked = next(self._asks)
        self._connection.send(self._asked.written())

    def answer(self) -> None:
        """Wait for the whole answer, and check it."""
        self._connection.read_answer()
        self._connection.expect(self._asked.expected)

    def first_content(self) -> bool:
        """Wait for the first of the answer's body; True if that is all of it."""
        return self._connection.read_first_content()

    def join(self, selector: selectors.BaseSelector) -> None:
        """Ask, and from now on wait at this selector only."""
        self._connection.socket.setblocking(False)
        selector.register(self._connection.socket, selectors.EVENT_READ, self)
        self.ask()

    def served(self) -> int:
        """Read what is there; once the answer is whole, check it, ask the next and return 1."""
        try:
            if not self._connection.read_some():
                return 0
        except ssl.SSLWantReadError:
            return 0
        self._connection.expect(self._asked.expected)
        self.ask()
        return 1

    def __enter__(self) -> Self:
        """Give the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connection."""
        self._connection.close()


Clients = Sequence[tuple[Route, Sequence[Ask]]]
"""What each connection asks for, and by which way."""


@contextlib.contextmanager
def _busy(clients: Clients) -> Iterator[selectors.BaseSelector]:
    with contextlib.ExitStack() as stack, selectors.EpollSelector() as selector:
        for route, asks in clients:
            stack.enter_context(Client(route, *asks)).join(selector)
        yield selector


def _answered(selector: selectors.BaseSelector) -> int:
    return sum(key.data.served() for key, _ in selector.select(1.0))


def calls_per_second(
    route: Route, *asks: Ask, connections: int, seconds: float, first: int = 0
) -> float:
    """Keep so many kept-alive connections busy; returns whole answers per second.

    Args:
        route: The way.
        asks: What is asked for, in turn; a plain call if nothing is named.
        connections: How many.
        seconds: How long.
        first: So many answers are waited for before it counts.
    """
    with _busy([(route, asks or (PLAIN,))] * connections) as selector:
        while first > 0:
            first -= _answered(selector)
        begun = time.perf_counter()
        answered = 0
        while (now := time.perf_counter()) < begun + seconds:
            answered += _answered(selector)
        return answered / (now - begun)


def make_calls(route: Route, *asks: Ask, connections: int, count: int) -> None:
    """Make so many calls, as fast as they go."""
    make_mixed_calls([(route, asks or (PLAIN,))] * connections, count)


def make_mixed_calls(clients: Clients, count: int) -> None:
    """Make so many calls over these connections, as fast as they go."""
    with _busy(clients) as selector:
        while count > 0:
            count -= _answered(selector)


def call_ms(route: Route, ask: Ask = PLAIN, *, count: int) -> float:
    """Make calls one after the other on one connection; returns the median in milliseconds."""
    with Client(route, ask) as client:
        return median(_timed_call(client) for _ in range(count)) * 1000


def _timed_call(client: Client) -> float:
    begun = time.perf_counter()
    client.ask()
    client.answer()
    return time.perf_counter() - begun


def first_content_ms(route: Route, *, count: int) -> float:
    """Read streams one after the other; returns the median time to their first content."""
    with Client(route, STREAM) as client:
        return median(_timed_stream(client) for _ in range(count)) * 1000


def _timed_stream(client: Client) -> float:
    begun = time.perf_counter()
    client.ask()
    whole = client.first_content()
    first = time.perf_counter() - begun
    if not whole:
        client.answer()
    return first


def connections_per_second(route: Route, *, clients: int, seconds: float) -> float:
    """Let clients make one call per new connection; returns new connections per second."""
    begun = time.perf_counter()
    counts = [0] * clients
    problems: list[Exception] = []

    def client(number: int) -> None:
        try:
            while time.perf_counter() < begun + seconds:
                with Client(route, PLAIN) as made:
                    made.ask()
                    made.answer()
                counts[number] += 1
        except Exception as error:  # noqa: BLE001 - a thread's failure is raised by its starter
            problems.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return sum(counts) / (time.perf_counter() - begun)
