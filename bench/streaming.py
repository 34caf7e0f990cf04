"""Many streams at once: what the sidecar adds to the way of each event.

One thread of this process is provider and client both: it writes events when they are due and
reads them when they arrive, so that one clock stamps both ends and nothing is between them but
what is measured. The same over a direct connection tells what the generator itself takes.
"""

import contextlib
import gc
import heapq
import queue
import random
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

from bench import asking
from bench.connection import Connection, Route, UnexpectedAnswerError, trusting
from bench.samples import chat_end, chat_event
from remora.testing.double_tls import Authority

_WAIT_S = 10.0
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
_STAMP = "0" * 19 + "-" + "0" * 8
_STAMPED = re.compile(rb'"obfuscation": "(\d{19})-(\d{8})"')


def _framed(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


_BEFORE, _, _AFTER = _framed(chat_event({"content": "remora "}, obfuscation=_STAMP)).partition(
    _STAMP.encode()
)
_END = b"".join(map(_framed, chat_end())) + b"0\r\n\r\n"
EVENT_BYTES = len(_BEFORE + _STAMP.encode() + _AFTER)


@dataclass(frozen=True, slots=True)
class Load:
    """How many streams, how fast, how long.

    Attributes:
        streams: Open at once.
        events_per_s: Of each.
        seconds: Measured.
        warm_s: Before that, not measured.
    """

    streams: int
    events_per_s: float
    seconds: float
    warm_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Delays:
    """What became of the events of a run.

    Attributes:
        p50_ms: From just before an event's write until its read.
        p99_ms: The same.
        late_p99_ms: How long after they were due events were written: the generator's own.
        events_per_s: Written and read.
        generator_share: CPU time of the generator by time that went by.
        proxy_share: The same of what is between; 0 for the direct way.
    """

    p50_ms: float
    p99_ms: float
    late_p99_ms: float
    events_per_s: float
    generator_share: float
    proxy_share: float


class EventProvider:
    """Takes connections in a thread and gives them, their requests read, to who writes events."""

    def __init__(self, ca_file: Path) -> None:
        """Listen on a free port; `close` ends it."""
        authority = Authority([asking.OPENAI])
        ca_file.write_bytes(authority.ca_pem)
        self.ca_file = ca_file
        self._context = authority.context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._asked: queue.Queue[ssl.SSLSocket] = queue.Queue()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """``host:port``."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    @property
    def route(self) -> Route:
        """The direct way."""
        return Route(self._listener.getsockname(), tls=trusting(self.ca_file))

    def asked(self) -> ssl.SSLSocket:
        """Wait for the next request; returns its connection."""
        return self._asked.get(timeout=_WAIT_S)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):  # a connection opened in advance may go unused
                plain.settimeout(_WAIT_S)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                made = self._context.wrap_socket(plain, server_side=True)
                _read_request(made)
                self._asked.put(made)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def _read_request(connection: ssl.SSLSocket) -> None:
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _some(connection)
    length = re.search(rb"\r\ncontent-length: *(\d+)", received[:end], re.IGNORECASE)
    if length is None:
        raise UnexpectedAnswerError("a request without a length")
    while len(received) < end + 4 + int(length[1]):
        received += _some(connection)


def _some(connection: ssl.SSLSocket) -> bytes:
    if not (piece := connection.recv(65536)):
        raise OSError("closed in the middle of a request")
    return piece


@dataclass(slots=True)
class _Stream:
    """One stream, both of its ends."""

    writer: ssl.SSLSocket
    reader: Connection
    written: int = 0
    read: int = 0
    unread: bytearray = field(default_factory=bytearray)
    delays_ns: list[int] = field(default_factory=list)

    def write(self) -> None:
        self.written += 1
        stamp = b"%019d-%08d" % (time.perf_counter_ns(), self.written)
        self.writer.sendall(_BEFORE + stamp + _AFTER)

    def take(self, measured_from_ns: int) -> None:
        """Read what is there, and see that no event is missing, doubled or out of order."""
        with contextlib.suppress(ssl.SSLWantReadError):
            while True:
                if not (piece := self.reader.socket.recv(65536)):
                    raise UnexpectedAnswerError("a stream was cut")
                now_ns = time.perf_counter_ns()
                self.unread += piece
                self._take_stamps(now_ns, measured_from_ns)

    def _take_stamps(self, now_ns: int, measured_from_ns: int) -> None:
        end = 0
        for stamp in _STAMPED.finditer(self.unread):
            self.read += 1
            if int(stamp[2]) != self.read:
                raise UnexpectedAnswerError(f"event {int(stamp[2])} came as number {self.read}")
            if (at_ns := int(stamp[1])) >= measured_from_ns:
                self.delays_ns.append(now_ns - at_ns)
            end = stamp.end()
        del self.unread[:end]

    def end(self) -> None:
        """Write the end, and see that it arrives."""
        self.writer.sendall(_END)
        self.reader.socket.settimeout(_WAIT_S)
        while not self.unread.endswith(b"0\r\n\r\n"):
            if not (piece := self.reader.socket.recv(65536)):
                raise UnexpectedAnswerError("the end of a stream was cut")
            self.unread += piece

    def close(self) -> None:
        self.writer.close()
        self.reader.close()


@contextlib.contextmanager
def _open_streams(route: Route, provider: EventProvider, count: int) -> Iterator[list[_Stream]]:
    with contextlib.ExitStack() as stack:
        streams = []
        ask = asking.chat(stream=True, temperature=0.2)
        for _ in range(count):
            reader = stack.enter_context(Connection(route))
            reader.send(ask.written())
            writer = provider.asked()
            stack.callback(writer.close)
            writer.sendall(_HEAD)
            stream = _Stream(writer, reader)
            stream.write()
            reader.read_first_content()
            stream.read = 1
            reader.socket.setblocking(False)
            streams.append(stream)
        yield streams


def measure_delays(
    route: Route, provider: EventProvider, load: Load, proxy_cpu_s: Callable[[], float] = float
) -> Delays:
    """Open all streams, let events flow, end all streams.

    Args:
        route: How the client reaches the provider.
        provider: Where it writes.
        load: How much.
        proxy_cpu_s: Tells the CPU time of what is between, while events flow.

    Raises:
        UnexpectedAnswerError: An event was lost, doubled or moved, or a stream was cut.
    """
    with _open_streams(route, provider, load.streams) as streams:
        pump = _Pump(streams, load, proxy_cpu_s)
        gc.disable()
        try:
            pump.run()
        finally:
            gc.enable()
        for stream in streams:
            stream.end()
        return pump.delays()


class _Pump:
    """Writes what is due and reads what is there, until the time is over."""

    def __init__(
        self, streams: Sequence[_Stream], load: Load, proxy_cpu_s: Callable[[], float]
    ) -> None:
        self._streams = streams
        self._load = load
        self._by_fd = {stream.reader.socket.fileno(): stream for stream in streams}
        self._late_ns: list[int] = []
        self._proxy_cpu_s = proxy_cpu_s
        self._share = self._proxy_share = 0.0

    def run(self) -> None:
        """Pump for as long as the load says, then until all has arrived."""
        load, begun_ns, cpu_ns = self._load, time.perf_counter_ns(), time.thread_time_ns()
        proxy_s = self._proxy_cpu_s()
        from_ns = begun_ns + int(load.warm_s * 1e9)
        until_ns = from_ns + int(load.seconds * 1e9)
        with select.epoll() as poll:
            for fd in self._by_fd:
                poll.register(fd, select.EPOLLIN)
            self._write_and_read(poll, from_ns, until_ns)
            taken_ns = time.perf_counter_ns() - begun_ns
            self._share = (time.thread_time_ns() - cpu_ns) / taken_ns
            self._proxy_share = (self._proxy_cpu_s() - proxy_s) * 1e9 / taken_ns
            self._read_rest(poll, from_ns)

    def _write_and_read(self, poll: select.epoll, from_ns: int, until_ns: int) -> None:
        every_ns = int(1e9 / self._load.events_per_s)
        now_ns = time.perf_counter_ns()
        phases = random.Random(1)  # noqa: S311 - the same in each round
        due = [(now_ns + phases.randrange(every_ns), n) for n in range(len(self._streams))]
        heapq.heapify(due)
        while now_ns < until_ns:
            self._read(poll, from_ns, (due[0][0] - now_ns) / 1e9)
            now_ns = time.perf_counter_ns()
            if due[0][0] <= now_ns:
                at_ns, number = due[0]
                self._late_ns.append(now_ns - at_ns)
                self._streams[number].write()
                heapq.heapreplace(due, (at_ns + every_ns, number))

    def _read(self, poll: select.epoll, from_ns: int, wait_s: float) -> None:
        # Waiting for the epoll itself: its own waits are of whole milliseconds.
        if select.select([poll], [], [], max(0.0, wait_s))[0]:
            for fd, _ in poll.poll(0):
                self._by_fd[fd].take(from_ns)

    def _read_rest(self, poll: select.epoll, from_ns: int) -> None:
        end = time.perf_counter() + _WAIT_S
        while any(stream.read < stream.written for stream in self._streams):
            self._read(poll, from_ns, 0.1)
            if time.perf_counter() > end:
                raise UnexpectedAnswerError("events were lost")

    def delays(self) -> Delays:
        """Say what was found."""
        all_ns = [delay for stream in self._streams for delay in stream.delays_ns]
        cuts = quantiles(all_ns, n=100)
        return Delays(
            p50_ms=cuts[49] / 1e6,
            p99_ms=cuts[98] / 1e6,
            late_p99_ms=quantiles(self._late_ns, n=100)[98] / 1e6,
            events_per_s=len(all_ns) / self._load.seconds,
            generator_share=self._share,
            proxy_share=self._proxy_share,
        )
