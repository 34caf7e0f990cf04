"""TLS of the gRPC listener: client certificates, and files that change while it serves."""

import os
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from remora.errors import ConfigError
from remora_aggregator.serving_certificate import CertificateFiles, ServingCertificate
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

TOKEN = "a-token-that-is-long-enough"
CODE = grpc.StatusCode
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Authority:
    """A small CA, for servers and clients."""

    def __init__(self, name):  # noqa: D107
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        ca = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self._name, self._key.public_key())
        self.pem = _pem(builder.add_extension(ca, critical=True).sign(self._key, hashes.SHA256()))

    def _builder(self, subject, key):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
        builder = builder.public_key(key).serial_number(x509.random_serial_number())
        return builder.not_valid_before(NOW - timedelta(days=400)).not_valid_after(
            NOW + timedelta(days=4_000)
        )

    def issue(self, *names, common_name="leaf"):
        """Certificate and key for names; those with `://` are URIs."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        kinds = [x509.UniformResourceIdentifier if "://" in n else x509.DNSName for n in names]
        alternatives = [kind(name) for kind, name in zip(kinds, names, strict=True)]
        builder = self._builder(subject, key.public_key())
        if alternatives:
            extension = x509.SubjectAlternativeName(alternatives)
            builder = builder.add_extension(extension, critical=False)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return _pem(builder.sign(self._key, hashes.SHA256())), secret


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority():
    return Authority("servers")


@pytest.fixture(scope="module")
def clients():
    return Authority("clients")


@pytest.fixture
def files(tmp_path, authority, clients):
    made = CertificateFiles(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "clients.pem")
    _put(made, authority.issue("localhost"))
    made.client_ca.write_bytes(clients.pem)
    (tmp_path / "tokens").write_text(f"{TOKEN} team-t reader\n")
    return made


def _put(files, pair):
    for path, content in zip((files.certificate, files.key), pair, strict=True):
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)


def _settings(files, *, mutual=False):
    return {
        "tls_cert": files.certificate,
        "tls_key": files.key,
        "token_file": files.certificate.with_name("tokens"),
        "client_ca": files.client_ca if mutual else None,
    }


def _channel(aggregator, root, pair=(None, None)):
    address = f"localhost:{aggregator.address.rpartition(':')[2]}"
    credentials = grpc.ssl_channel_credentials(root, pair[1], pair[0])
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    return grpc.aio.secure_channel(address, credentials, options=options)


async def _ask(channel, *, token=""):
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    stub = pb_grpc.RecordServiceStub(channel)
    return (await stub.Usage(pb.UsageRequest(), metadata=metadata, timeout=10)).rows


async def _code(aggregator, root, pair=(None, None), *, token=""):
    async with _channel(aggregator, root, pair) as channel:
        try:
            await _ask(channel, token=token)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return CODE.OK


async def _report(aggregator, root, pair, record):
    async with _channel(aggregator, root, pair) as channel:

        async def requests():
            yield pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="vm-7"))
            yield pb.ReportRequest(entries=[pb.ReportRequest.Entry(sequence=1, record=record)])

        stub = pb_grpc.RecordServiceStub(channel)
        return [answer async for answer in stub.Report(requests())]


async def test_a_certificates_uri_says_whose_records_come(files, authority, clients, make_record):
    reporter = clients.issue("remora://team-a/reporter/vm-7")
    admin = clients.issue("remora://team-a,team-b/admin/ann")
    async with temporary_aggregator(**_settings(files, mutual=True)) as aggregator:
        answers = await _report(aggregator, authority.pem, reporter, make_record(1))
        assert list(answers[-1].acknowledged) == [1]
        async with _channel(aggregator, authority.pem, admin) as channel:
            stub = pb_grpc.RecordServiceStub(channel)
            found = [answer.stored async for answer in stub.Query(pb.QueryRequest())]
    assert [(one.namespace, one.pod_uid) for one in found] == [("team-a", "vm-7")]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("remora://team-a/reader/x",), CODE.OK),
        (("host.example",), CODE.UNAUTHENTICATED),
        ((), CODE.UNAUTHENTICATED),
        (("remora://team-a/reader/x", "remora://team-b/reader/x"), CODE.UNAUTHENTICATED),
        (("remora://team-a/reporter/x",), CODE.PERMISSION_DENIED),
    ],
    ids=["a reader", "another name", "no name", "two", "a reporter that proved no pod"],
)
async def test_what_a_certificate_has_to_say(files, authority, clients, names, code):
    pair = clients.issue(*names, common_name="remora://team-a/reader/x")
    async with temporary_aggregator(**_settings(files, mutual=True)) as aggregator:
        assert await _code(aggregator, authority.pem, pair) is code


async def test_certificates_of_others_and_none_at_all_do_not_connect(files, authority):
    stranger = Authority("clients").issue("remora://team-a/admin/x")
    async with temporary_aggregator(**_settings(files, mutual=True)) as aggregator:
        for pair in (stranger, (None, None)):
            code = await _code(aggregator, authority.pem, pair, token=TOKEN)
            assert code is CODE.UNAVAILABLE


async def test_a_token_that_is_shown_too_decides(files, authority, clients):
    pair = clients.issue("remora://team-a/admin/ann")
    async with temporary_aggregator(**_settings(files, mutual=True)) as aggregator:
        assert await _code(aggregator, authority.pem, pair, token=TOKEN) is CODE.OK
        code = await _code(aggregator, authority.pem, pair, token="wrong-but-long-enough")
    assert code is CODE.UNAUTHENTICATED


async def test_a_client_certificate_says_nothing_where_none_was_asked_for(
    files, authority, clients
):
    pair = clients.issue("remora://team-a/admin/ann")
    async with temporary_aggregator(**_settings(files)) as aggregator:
        assert await _code(aggregator, authority.pem, pair) is CODE.UNAUTHENTICATED
        assert await _code(aggregator, authority.pem, pair, token=TOKEN) is CODE.OK


async def test_new_connections_get_a_new_certificate_and_old_ones_go_on(files, authority):
    other = Authority("servers, renewed")
    async with (
        temporary_aggregator(**_settings(files)) as aggregator,
        _channel(aggregator, authority.pem) as standing,
    ):
        await _ask(standing, token=TOKEN)
        _put(files, other.issue("localhost"))
        assert await _code(aggregator, other.pem, token=TOKEN) is CODE.OK
        assert await _code(aggregator, authority.pem, token=TOKEN) is CODE.UNAVAILABLE
        await _ask(standing, token=TOKEN)


@pytest.mark.parametrize("broken", ["key of another", "garbage", "gone"])
async def test_files_that_break_leave_the_last_good_ones_serving(files, authority, caplog, broken):
    async with temporary_aggregator(**_settings(files)) as aggregator:
        if broken == "key of another":
            files.key.write_bytes(authority.issue("localhost")[1])
        elif broken == "garbage":
            files.certificate.write_bytes(b"garbage")
        else:
            files.key.unlink()
        for _ in range(2):
            assert await _code(aggregator, authority.pem, token=TOKEN) is CODE.OK
        ours = [record for record in caplog.records if "last good" in record.getMessage()]
        assert len(ours) == 1
        other = Authority("mended")
        _put(files, other.issue("localhost"))
        assert await _code(aggregator, other.pem, token=TOKEN) is CODE.OK


async def test_who_signs_clients_may_change(files, authority, clients):
    other = Authority("clients, renewed")
    old, new = (one.issue("remora://team-a/reader/x") for one in (clients, other))
    async with temporary_aggregator(**_settings(files, mutual=True)) as aggregator:
        assert await _code(aggregator, authority.pem, new) is CODE.UNAVAILABLE
        files.client_ca.write_bytes(clients.pem + other.pem)
        assert await _code(aggregator, authority.pem, new) is CODE.OK
        assert await _code(aggregator, authority.pem, old) is CODE.OK
        files.client_ca.write_bytes(other.pem)
        assert await _code(aggregator, authority.pem, old) is CODE.UNAVAILABLE


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("certificate", b"garbage", "REMORA_AGGREGATOR_TLS_CERT"),
        ("client_ca", b"garbage", "REMORA_AGGREGATOR_CLIENT_CA"),
        ("client_ca", b"", "REMORA_AGGREGATOR_CLIENT_CA"),
        ("key", None, "REMORA_AGGREGATOR_TLS_CERT"),
    ],
)
def test_files_that_can_not_be_used_are_named_at_the_start(files, name, content, said):
    path = getattr(files, name)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as refused:
        ServingCertificate(files)
    assert os.fspath(path) in str(refused.value)
