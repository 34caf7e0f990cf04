"""HTTP over TLS: cookies that stay with it, certificates renewed, clients that show theirs."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from remora_aggregator.web.front import Bounds

BEARER = {"Authorization": "Bearer reader-token-0123456789"}


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def files(authority, tmp_path, token_file):
    """Settings of a served store with a certificate for 127.0.0.1."""
    made = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    _issue(authority, made)
    return {**made, "token_file": token_file}


def _issue(authority, files, name="127.0.0.1"):
    pair = authority.issue_cert(name)
    pair.private_key_pem.write_to_path(str(files["tls_key"]))
    content = b"".join(blob.bytes() for blob in pair.cert_chain_pems)
    files["tls_cert"].write_bytes(content)


def _trusting(authority, client_pair=None):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client_pair is not None:
        context.load_cert_chain(client_pair)
    return context


async def _ask(api, method, path, context, **options):
    url = f"https://127.0.0.1:{api.port}{path}"
    async with api.client.request(method, url, ssl=context, **options) as answer:
        return answer, await answer.json()


async def test_records_are_asked_over_tls(open_api, files, authority, call):
    async with open_api(**files) as api:
        await api.put(call(1), namespace="team-a")
        context = _trusting(authority)
        _, page = await _ask(api, "GET", "/v1/records", context, headers=BEARER)
        assert len(page["records"]) == 1


async def test_a_cookie_over_tls_is_held_to_it(open_api, files, authority):
    async with open_api(**files) as api:
        context = _trusting(authority)
        token = {"token": "reader-token-0123456789"}
        answer, _ = await _ask(api, "POST", "/v1/sign-in", context, json=token)
        morsel = SimpleCookie(answer.headers["Set-Cookie"])["__Host-remora"]
        assert morsel["secure"]
        assert morsel["path"] == "/"
        assert not morsel["domain"]
        _, identity = await _ask(api, "GET", "/v1/whoami", context)
        assert identity["name"] == "anna"


async def _shown(api, context):
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, ssl=context)
    certificate = writer.get_extra_info("peercert")
    writer.transport.abort()
    del reader
    return certificate["serialNumber"]


async def test_a_renewed_certificate_is_shown_to_who_connects_next(open_api, files, authority):
    async with open_api(**files) as api:
        context = _trusting(authority)
        first = await _shown(api, context)
        assert await _shown(api, context) == first
        _issue(authority, files)
        assert await _shown(api, context) != first


async def test_files_that_are_no_certificate_leave_the_last_good_one(
    open_api, files, authority, caplog
):
    async with open_api(**files) as api:
        context = _trusting(authority)
        first = await _shown(api, context)
        files["tls_cert"].write_text("half a certif")
        assert await _shown(api, context) == first
        assert "last good certificate" in caplog.text


async def test_who_says_nothing_instead_of_tls_is_not_waited_for(open_api, files, authority):
    async with open_api(bounds=Bounds(handshake_s=0.2, connections=4), **files) as api:
        readers = [(await asyncio.open_connection("127.0.0.1", api.port)) for _ in range(12)]
        _, page = await _ask(api, "GET", "/v1/whoami", _trusting(authority), headers=BEARER)
        assert page["name"] == "anna"
        async with asyncio.timeout(20):
            for reader, _ in readers:
                assert await _rest(reader) == b""
        for _, writer in readers:
            writer.transport.abort()


async def _rest(reader):
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_plain_http_is_not_answered_where_tls_is(open_api, files):
    async with open_api(**files) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP" not in await _rest(reader)
        writer.transport.abort()


def _client_pair(authority, uri, path):
    """Write a certificate that says who a client is, and its key."""
    ca_key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True
        )
        .sign(ca_key, hashes.SHA256())
    )
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


async def test_a_client_certificate_says_who_asks_and_is_not_needed(
    open_api, files, authority, tmp_path
):
    clients = trustme.CA()
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    pair = _client_pair(clients, "remora://team-b/reader/dora", tmp_path / "dora.pem")
    async with open_api(**files, client_ca=tmp_path / "clients.pem") as api:
        _, known = await _ask(api, "GET", "/v1/whoami", _trusting(authority, pair))
        assert (known["name"], known["namespaces"]) == ("dora", ["team-b"])
        await api.client.connector.close()


async def test_a_token_is_enough_where_certificates_count_too(open_api, files, authority, tmp_path):
    clients = trustme.CA()
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    async with open_api(**files, client_ca=tmp_path / "clients.pem") as api:
        context = _trusting(authority)
        _, known = await _ask(api, "GET", "/v1/whoami", context, headers=BEARER)
        assert known["name"] == "anna"
        nobody, _ = await _ask(api, "GET", "/v1/whoami", context)
        assert nobody.status == 401


async def test_beyond_loopback_it_listens_with_tls_tokens_and_names(open_api, files, authority):
    given = {**files, "http_listen": "0.0.0.0:0", "http_hosts": "records.example"}
    async with open_api(**given) as api:
        context = _trusting(authority)
        answer, _ = await _ask(api, "GET", "/v1/whoami", context, headers=BEARER)
        assert answer.status == 200
        other, problem = await _ask(
            api, "GET", "/v1/whoami", context, headers={**BEARER, "Host": "other.example"}
        )
        assert (other.status, problem["code"]) == (421, "other-host")
