"""How answers fail: at the right byte, in the right way."""

import asyncio
import ssl

import pytest

from remora.testing.double_answer import Answer, Fault, FaultKind, Framing
from remora.testing.raw_agent import CutError

_HOST = ("Host", "api.openai.com")
_BODY = b"0123456789"
_ENDINGS = [FaultKind.CLOSE, FaultKind.DROP, FaultKind.RESET]
_FRAMINGS = [Framing.LENGTH, Framing.CHUNKED]
_NAMES = ["", "api.openai.com"]


def _by_value(kind: FaultKind | Framing | str) -> str:
    return kind or "plain" if isinstance(kind, str) else kind.value


@pytest.mark.parametrize("name", _NAMES, ids=_by_value)
@pytest.mark.parametrize("kind", _ENDINGS, ids=_by_value)
async def test_an_answer_that_never_begins(double, connect, kind, name):
    double.script(Answer(body=_BODY, fault=Fault(kind)))
    agent = await connect(name)
    await agent.send("GET", "/", [_HOST])
    with pytest.raises(CutError):
        await agent.head()
    assert double.aborted == []


@pytest.mark.parametrize("name", _NAMES, ids=_by_value)
@pytest.mark.parametrize("framing", _FRAMINGS, ids=_by_value)
@pytest.mark.parametrize("kind", [FaultKind.CLOSE, FaultKind.DROP], ids=_by_value)
@pytest.mark.parametrize("after", [0, 1, 7])
async def test_an_answer_is_cut_at_the_byte_asked_for(double, connect, name, framing, kind, after):
    double.script(Answer(body=_BODY, framing=framing, fault=Fault(kind, after)))
    answer = await (await connect(name)).ask("GET", "/", [_HOST])
    assert (answer.body, answer.cut) == (_BODY[:after], True)


async def test_a_fault_at_the_end_takes_the_last_chunk_with_it(double, connect):
    double.script(
        Answer(body=_BODY, framing=Framing.CHUNKED, fault=Fault(FaultKind.CLOSE, len(_BODY)))
    )
    answer = await (await connect()).ask("GET", "/", [_HOST])
    assert (answer.body, answer.cut) == (_BODY, True)


async def test_a_reset_is_one(double, connect):
    double.script(Answer(body=_BODY, fault=Fault(FaultKind.RESET)))
    agent = await connect()
    await agent.send("GET", "/", [_HOST])
    with pytest.raises(ConnectionResetError):
        await agent.reader.readexactly(1)


async def test_a_tls_goodbye_is_said_or_not(double, connect):
    double.script(*(Answer(body=_BODY, fault=Fault(kind, 3)) for kind in _ENDINGS[:2]))
    said: list[bool] = []
    for _ in range(2):
        agent = await connect()
        said.append(await _says_goodbye(agent, double.ca_pem))
    assert said == [True, False]


async def _says_goodbye(agent, ca_pem: str) -> bool:
    """TLS over memory, so that a missing close_notify shows."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cadata=ca_pem)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="api.openai.com")
    asked = False
    while True:
        try:
            if not asked:
                tls.do_handshake()
                tls.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                asked = True
            if not tls.read(65536):
                return True
        except ssl.SSLWantReadError:
            agent.writer.write(outgoing.read())
            if data := await agent.reader.read(65536):
                incoming.write(data)
            else:
                incoming.write_eof()
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLEOFError:
            return False


async def test_a_stalled_answer_waits_for_the_client_to_leave(double, connect):
    double.script(Answer(body=_BODY, fault=Fault(FaultKind.STALL, 4)))
    agent = await connect()
    await agent.send("GET", "/", [_HOST])
    await agent.head()
    assert await agent.reader.readexactly(4) == _BODY[:4]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await agent.reader.read(1)
    agent.abort()
    await double.until(lambda: double.aborted)


async def test_a_closing_answer_ends_its_connection(double, connect):
    double.script(Answer(body=_BODY, close=True))
    agent = await connect("api.openai.com")
    answer = await agent.ask("GET", "/", [_HOST])
    assert (answer.body, answer.header("connection")) == (_BODY, "close")
    assert await agent.at_end()


async def test_an_answer_until_close_is_whole(double, connect):
    double.script(Answer(body=_BODY, framing=Framing.CLOSE))
    answer = await (await connect()).ask("GET", "/", [_HOST])
    assert (answer.body, answer.cut) == (_BODY, False)
