"""Channels to real gRPC servers: in the clear, over TLS, with and without a token."""

from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import trustme

from remora.client.target import AggregatorTarget, read_token
from remora.errors import ConfigError
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc


class Listening(pb_grpc.RecordServiceServicer):
    """Answers Usage with the authorization it was sent, and Report and Query likewise."""

    def Usage(self, request, context):  # noqa: N802
        return pb.UsageResponse(rows=[pb.UsageRow(keys=_authorizations(context))])

    def Query(self, request, context):  # noqa: N802
        yield pb.QueryResponse(stored=pb.StoredRecord(namespace=",".join(_authorizations(context))))

    def Report(self, request_iterator, context):  # noqa: N802
        for _ in request_iterator:
            yield pb.ReportResponse(aggregator_version=",".join(_authorizations(context)))


def _authorizations(context) -> list[str]:
    return [value for key, value in context.invocation_metadata() if key == "authorization"]


@contextmanager
def listening(address: str, credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    pb_grpc.add_RecordServiceServicer_to_server(Listening(), server)
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def usage(target: AggregatorTarget) -> list[str]:
    with target.channel() as channel:
        answer = pb_grpc.RecordServiceStub(channel).Usage(pb.UsageRequest(), timeout=10)
    return list(answer.rows[0].keys)


async def _report(channel: grpc.aio.Channel) -> str:
    call = pb_grpc.RecordServiceStub(channel).Report(timeout=10)
    await call.write(pb.ReportRequest())
    await call.done_writing()
    return (await anext(aiter(call))).aggregator_version


async def _query(channel: grpc.aio.Channel) -> str:
    call = pb_grpc.RecordServiceStub(channel).Query(pb.QueryRequest(), timeout=10)
    return (await anext(aiter(call))).stored.namespace


async def _usage(channel: grpc.aio.Channel) -> str:
    call = pb_grpc.RecordServiceStub(channel).Usage(pb.UsageRequest(), timeout=10)
    return ",".join((await call).rows[0].keys)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    return file


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


def tls(authority: trustme.CA, name: str) -> grpc.ServerCredentials:
    leaf = authority.issue_cert(name)
    chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
    return grpc.ssl_server_credentials([(leaf.private_key_pem.bytes(), chain)])


def test_a_loopback_target_needs_nothing():
    with listening("127.0.0.1:0") as port:
        assert usage(AggregatorTarget(f"127.0.0.1:{port}")) == []


def test_a_unix_socket_is_a_target(tmp_path: Path, token_file: Path):
    with listening(f"unix:{tmp_path}/a.sock"):
        assert usage(AggregatorTarget(f"unix:{tmp_path}/a.sock", token_file)) == ["Bearer s3cret"]


def test_the_token_goes_over_loopback_in_the_clear(token_file: Path):
    with listening("127.0.0.1:0") as port:
        assert usage(AggregatorTarget(f"127.0.0.1:{port}", token_file)) == ["Bearer s3cret"]


def test_the_token_goes_over_tls(tmp_path: Path, authority: trustme.CA, token_file: Path):
    with listening("127.0.0.1:0", tls(authority, "localhost")) as port:
        target = AggregatorTarget(f"localhost:{port}", token_file, tmp_path / "ca.pem")
        assert usage(target) == ["Bearer s3cret"]


@pytest.mark.parametrize("call", [_report, _query, _usage], ids=["report", "query", "usage"])
@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
async def test_the_token_goes_with_each_kind_of_asyncio_call(
    tmp_path: Path,
    authority: trustme.CA,
    token_file: Path,
    secure: bool,
    call: Callable[[grpc.aio.Channel], AsyncIterator[str]],
):
    with listening("127.0.0.1:0", tls(authority, "localhost") if secure else None) as port:
        ca_file = tmp_path / "ca.pem" if secure else None
        target = AggregatorTarget(f"localhost:{port}", token_file, ca_file)
        async with target.aio_channel() as channel:
            assert await call(channel) == "Bearer s3cret"


async def test_a_call_keeps_its_own_metadata_beside_the_token(token_file: Path):
    with listening("127.0.0.1:0") as port:
        async with AggregatorTarget(f"127.0.0.1:{port}", token_file).aio_channel() as channel:
            stub = pb_grpc.RecordServiceStub(channel)
            answer = await stub.Usage(pb.UsageRequest(), metadata=(("authorization", "mine"),))
    assert list(answer.rows[0].keys) == ["mine", "Bearer s3cret"]


def test_a_new_token_is_read_at_the_next_channel(token_file: Path):
    with listening("127.0.0.1:0") as port:
        target = AggregatorTarget(f"127.0.0.1:{port}", token_file)
        assert usage(target) == ["Bearer s3cret"]
        token_file.write_text("renewed")
        assert usage(target) == ["Bearer renewed"]


def test_a_server_of_another_authority_gets_no_call(tmp_path: Path, authority: trustme.CA):
    with listening("127.0.0.1:0", tls(trustme.CA(), "localhost")) as port:
        target = AggregatorTarget(f"localhost:{port}", ca_file=tmp_path / "ca.pem")
        with pytest.raises(grpc.RpcError) as caught:
            usage(target)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("address", "ca_file", "is_secure"),
    [
        ("127.0.0.1:1", None, False),
        ("127.8.0.1:1", None, False),
        ("[::1]:1", None, False),
        ("localhost:1", None, False),
        ("unix:/run/aggregator.sock", None, False),
        ("127.0.0.1:1", Path("ca.pem"), True),
        ("10.0.0.1:1", None, True),
        ("[2001:db8::1]:1", None, True),
        ("aggregator.internal:1", None, True),
        ("localhost.example.org:1", None, True),
    ],
)
def test_only_what_stays_on_this_machine_goes_in_the_clear(
    address: str, ca_file: Path | None, is_secure: bool
):
    assert AggregatorTarget(address, ca_file=ca_file).is_secure is is_secure


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("aggregator", "is not host:port"),
        ("", "is not host:port"),
        ("http://aggregator:1", "is not host:port"),
        ("::1:15090", "is not host:port"),
        ("unix:", "is not host:port"),
        ("host:0", "out of range"),
        ("host:65536", "out of range"),
        ("[1:2]:15090", "is no IPv6 address"),
    ],
)
def test_what_is_no_address_is_said(address: str, said: str):
    with pytest.raises(ConfigError, match=said):
        AggregatorTarget(address).channel()


@pytest.mark.parametrize(
    ("content", "token"),
    [
        ("abc", "abc"),
        ("abc\n", "abc"),
        ("# ours\n\n  abc  team-a\ndef team-b\n", "abc"),
    ],
    ids=["bare", "newline", "a line of the aggregator's own file"],
)
def test_a_token_is_the_first_word_of_its_file(tmp_path: Path, content: str, token: str):
    (tmp_path / "token").write_text(content)
    assert read_token(tmp_path / "token") == token


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no token"),
        (b"# none\n", "holds no token"),
        (b"\xff\xfe", "not printable ASCII"),
    ],
)
def test_a_file_without_a_token_is_said(tmp_path: Path, content: bytes, said: str):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_token(tmp_path / "token")


def test_a_missing_token_file_is_said(tmp_path: Path):
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        AggregatorTarget("127.0.0.1:1", token_file=tmp_path / "none").aio_channel()


def test_a_root_file_without_a_certificate_is_said(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("")
    with pytest.raises(ConfigError, match="no certificate in PEM form"):
        AggregatorTarget("127.0.0.1:1", ca_file=tmp_path / "ca.pem").channel()
