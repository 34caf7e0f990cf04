"""An open TLS session: what passes it comes out as it went in, whatever the cuts."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from remora_sidecar.interceptor.tls_passage import TlsPassage
from remora_sidecar.interceptor.tls_records import TlsRecords

NAME = "api.openai.com"
_CA = trustme.CA()
_LEAF = _CA.issue_cert(NAME)


class _Wire(asyncio.Transport):
    """Keeps what the session itself sends to the agent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closing


@dataclass
class Session:
    """Both ends of one session: the passage, and an agent of Python's own TLS."""

    passage: TlsPassage
    tls: SSL.Connection
    wire: _Wire
    agent: ssl.SSLObject
    to_agent: ssl.MemoryBIO
    from_agent: ssl.MemoryBIO
    goodbyes: list[bool] = field(default_factory=list)

    def written(self, data: bytes) -> bytes:
        """What the agent puts on the wire for this."""
        at = 0
        while at < len(data):
            at += self.agent.write(data[at : at + 65536])
        return self.from_agent.read()

    def read(self) -> bytes:
        """All that the agent can read now."""
        pieces = []
        try:
            while piece := self.agent.read(65536):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        return b"".join(pieces)


def _agents_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=_CA.cert_pem.bytes().decode())
    context.maximum_version = version
    return context


def _session(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Session:
    context = SSL.Context(SSL.TLS_METHOD)
    _LEAF.configure_cert(context)
    tls = SSL.Connection(context)
    tls.set_accept_state()
    to_agent, from_agent = ssl.MemoryBIO(), ssl.MemoryBIO()
    agent = _agents_context(version).wrap_bio(to_agent, from_agent, server_hostname=NAME)
    wire, goodbyes = _Wire(), []
    records = _shake_hands(tls, agent, to_agent, from_agent)
    passage = TlsPassage(tls, wire, records, lambda: goodbyes.append(True))
    return Session(passage, tls, wire, agent, to_agent, from_agent, goodbyes)


def _shake_hands(
    tls: SSL.Connection, agent: ssl.SSLObject, to_agent: ssl.MemoryBIO, from_agent: ssl.MemoryBIO
) -> TlsRecords:
    records = TlsRecords()
    for _ in range(4):
        with contextlib.suppress(ssl.SSLWantReadError):
            agent.do_handshake()
        if data := from_agent.read():
            tls.bio_write(data)
            records.ended_in(data)
        with contextlib.suppress(SSL.WantReadError):
            tls.do_handshake()
        with contextlib.suppress(SSL.WantReadError):
            to_agent.write(tls.bio_read(1 << 20))
    return records


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    return _session(request.param)


def _cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for cut in [*cuts, len(data)]:
        if piece := data[at : at + cut]:  # no socket gives an empty one
            yield piece
        at += cut


_MESSAGES = st.lists(st.binary(max_size=40_000), max_size=6)
_CUTS = st.lists(st.integers(1, 20_000), max_size=20)


@given(messages=_MESSAGES, cuts=_CUTS)
def test_what_the_agent_sends_is_opened_however_it_is_cut(messages, cuts):
    session = _session()
    wire = b"".join(session.written(message) for message in messages)
    opened = b"".join(session.passage.opened(piece) for piece in _cut(wire, cuts))
    assert opened == b"".join(messages)
    assert not session.goodbyes


@given(messages=_MESSAGES, cuts=_CUTS)
def test_what_goes_to_the_agent_is_sealed_at_once(messages, cuts):
    session = _session()
    wire = b"".join(map(session.passage.sealed, messages))
    received = b""
    for piece in _cut(wire, cuts):
        session.to_agent.write(piece)
        received += session.read()
    assert received == b"".join(messages)


@given(message=st.binary(min_size=1, max_size=40_000), data=st.data())
def test_a_session_may_be_taken_over_in_the_middle_of_a_record(message, data):
    session = _session()
    wire = session.written(b"before") + session.written(message)
    cut = data.draw(st.integers(1, len(wire) - 1))
    session.tls.bio_write(wire[:cut])
    records = TlsRecords()
    records.ended_in(wire[:cut])
    read = b""
    with contextlib.suppress(SSL.WantReadError):
        while True:
            read += session.tls.recv(16384)
    passage = TlsPassage(session.tls, session.wire, records, lambda: None)
    assert read + passage.opened(wire[cut:]) == b"before" + message


def test_a_large_chunk_leaves_nothing_behind(session):
    data = bytes(range(256)) * 4096
    session.to_agent.write(session.passage.sealed(data))
    assert session.read() == data
    assert session.passage.opened(session.written(data)) == data
    with pytest.raises(SSL.WantReadError):
        session.tls.bio_read(1)


def test_a_goodbye_is_told_once_and_what_came_before_it_passes(session):
    wire = session.written(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        session.agent.unwrap()
    assert session.passage.opened(wire + session.from_agent.read()) == b"last words"
    assert session.goodbyes == [True]


def test_whoever_reads_the_session_after_a_goodbye_learns_of_it(session):
    with pytest.raises(ssl.SSLWantReadError):
        session.agent.unwrap()
    session.passage.opened(session.from_agent.read())
    with pytest.raises(SSL.ZeroReturnError):
        session.tls.recv(1)


def test_an_agent_that_said_goodbye_still_gets_its_answer():
    session = _session()
    with pytest.raises(ssl.SSLWantReadError):
        session.agent.unwrap()
    session.passage.opened(session.from_agent.read())
    assert session.passage.sealed(b"the answer")


def test_a_broken_record_is_answered_with_an_alert_and_raises_nothing(session):
    record = bytearray(session.written(b"hello"))
    record[-1] ^= 1
    assert session.passage.opened(bytes(record)) == b""
    assert session.wire.sent
    session.to_agent.write(bytes(session.wire.sent))
    with pytest.raises(ssl.SSLError):
        session.read()
    assert session.passage.sealed(b"more") == b""


def test_nothing_is_written_to_an_agent_that_is_gone(session):
    session.wire.closing = True
    record = bytearray(session.written(b"hello"))
    record[-1] ^= 1
    session.passage.opened(bytes(record))
    assert not session.wire.sent
