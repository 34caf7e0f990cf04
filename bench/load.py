"""Puts load on a route and times it: one function per way of asking."""

import contextlib
import selectors
import ssl
import threading
import time
from statistics import median

from bench.connection import Connection, Route, chat_request

_PLAIN = chat_request("What do remoras eat?")
_STREAM = chat_request("What do remoras eat?", stream=True)


def calls_per_second(route: Route, *, connections: int, seconds: float) -> float:
    """Keep so many kept-alive connections busy; returns whole answers per second."""
    with contextlib.ExitStack() as stack, selectors.EpollSelector() as selector:
        for _ in range(connections):
            connection = stack.enter_context(Connection(route))
            connection.socket.setblocking(False)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(_PLAIN)
        begun = time.perf_counter()
        answered = 0
        while (now := time.perf_counter()) < begun + seconds:
            answered += sum(_served(key.data) for key, _ in selector.select(1.0))
        return answered / (now - begun)


def _served(connection: Connection) -> int:
    try:
        if not connection.read_some():
            return 0
    except ssl.SSLWantReadError:
        return 0
    connection.send(_PLAIN)
    return 1


def make_calls(route: Route, *, connections: int, count: int) -> None:
    """Make so many calls, as fast as they go."""
    with contextlib.ExitStack() as stack, selectors.EpollSelector() as selector:
        for _ in range(connections):
            connection = stack.enter_context(Connection(route))
            connection.socket.setblocking(False)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(_PLAIN)
        while count > 0:
            count -= sum(_served(key.data) for key, _ in selector.select(1.0))


def call_ms(route: Route, *, count: int) -> float:
    """Make calls one after the other on one connection; returns the median in milliseconds."""
    with Connection(route) as connection:
        return median(_timed_call(connection) for _ in range(count)) * 1000


def _timed_call(connection: Connection) -> float:
    begun = time.perf_counter()
    connection.send(_PLAIN)
    connection.read_answer()
    return time.perf_counter() - begun


def first_content_ms(route: Route, *, count: int) -> float:
    """Read streams one after the other; returns the median time to their first content."""
    with Connection(route) as connection:
        return median(_timed_stream(connection) for _ in range(count)) * 1000


def _timed_stream(connection: Connection) -> float:
    begun = time.perf_counter()
    connection.send(_STREAM)
    whole = connection.read_first_content()
    first = time.perf_counter() - begun
    if not whole:
        connection.read_answer()
    return first


def connections_per_second(route: Route, *, clients: int, seconds: float) -> float:
    """Let clients make one call per new connection; returns new connections per second."""
    begun = time.perf_counter()
    counts = [0] * clients
    problems: list[Exception] = []

    def client(number: int) -> None:
        try:
            while time.perf_counter() < begun + seconds:
                with Connection(route) as connection:
                    connection.send(_PLAIN)
                    connection.read_answer()
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
