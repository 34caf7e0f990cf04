"""What our servers show: real handshakes with the certificate of the Secret, renewed on the go."""

import asyncio
import secrets
import socket
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.operator.custody.staging import DAY_S, SYSTEM

from remora.errors import Unavailable
from remora_operator.ca.authority import SERVING, make_root, new_key
from remora_operator.ca.rotation import begin, switch
from remora_operator.ca.rotation_secret import read_rotation, secret_data

NAME = "remora-operator.remora-system.svc"
TLS = f"{SYSTEM}/secrets/remora-operator-tls"


@asynccontextmanager
async def _listening(custodian):
    """A listener with the custodian's context; gives its port."""

    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=custodian.tls_context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _client(roots, *alpn):
    context = ssl.create_default_context(cadata=roots.decode())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _shown_now(port, roots, name, alpn):
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
        _client(roots, *alpn).wrap_socket(raw, server_hostname=name) as tls,
    ):
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))


async def _shown(port, roots, name=NAME, alpn=()):
    """The certificate that a client accepts which trusts these roots alone."""
    return await asyncio.to_thread(_shown_now, port, roots, name, alpn)


def _roots(cluster):
    return cluster.bundles()[0]


async def test_the_api_server_accepts_the_webhook_by_its_ca_bundle(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()
    async with _listening(replica.custodian) as port:
        leaf = await _shown(port, _roots(cluster))
        assert leaf.not_valid_after_utc - cluster.now <= timedelta(days=30)
        for name in ("remora-operator.remora-system.svc.cluster.local", "remora-operator"):
            assert await _shown(port, _roots(cluster), name) == leaf
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await _shown(port, _roots(cluster), "remora-aggregator.remora-system.svc")
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            await _shown(port, cluster.secret("remora-ca")["tls.crt"])


async def test_a_client_that_names_no_server_is_answered_as_well(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()
    async with _listening(replica.custodian) as port:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=_roots(cluster).decode())
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        assert writer.get_extra_info("peercert")["subject"]
        writer.close()
        await writer.wait_closed()


async def test_the_listener_may_stand_before_the_first_certificate(cluster):
    follower = cluster.replica(leads=False)
    await follower.custodian.keep()
    with pytest.raises(Unavailable):
        follower.custodian.grpc_credentials()
    async with _listening(follower.custodian) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await _shown(port, _any_root(cluster))
        await cluster.replica().custodian.keep()
        await follower.custodian.keep()
        assert await _shown(port, _roots(cluster))


def _any_root(cluster):
    return make_root(new_key(), cluster.now, secrets.token_bytes, SERVING).certificate_pem


async def test_each_replica_takes_a_renewed_certificate_without_a_restart(cluster):
    cluster.clock.step_wall(-21 * DAY_S)
    leader, follower = cluster.replica(), cluster.replica(leads=False)
    await leader.custodian.keep()
    await follower.custodian.keep()
    async with _listening(leader.custodian) as one, _listening(follower.custodian) as other:
        first = await _shown(one, _roots(cluster))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", other, ssl=_client(_roots(cluster)), server_hostname=NAME
        )
        cluster.clock.advance(19 * DAY_S)
        await leader.custodian.keep()
        assert await _shown(one, _roots(cluster)) == first
        cluster.clock.advance(1.5 * DAY_S)
        for replica, port in ((leader, one), (follower, other)):
            await replica.custodian.keep()
            shown = await _shown(port, _roots(cluster))
            assert shown != first
            end = shown.not_valid_after_utc.timestamp()
            assert replica.metric("webhook_cert_not_after_seconds") == end
        writer.write(b"what stands goes on\n")
        assert await reader.readline() == b"what stands goes on\n"
        writer.close()
        await writer.wait_closed()
    said = leader.metric(
        "remora_operator_serving_cert_not_after_seconds", secret="remora-aggregator-tls"
    )
    assert said == (cluster.now + timedelta(days=30)).timestamp()


async def test_grpc_takes_a_renewed_certificate_without_a_restart(cluster):
    cluster.clock.step_wall(-21 * DAY_S)
    replica = cluster.replica()
    await replica.custodian.keep()
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", replica.custodian.grpc_credentials())
    await server.start()
    try:
        first = await _shown(port, _roots(cluster), alpn=["h2"])
        cluster.clock.advance(20.5 * DAY_S)
        await replica.custodian.keep()
        assert await _shown(port, _roots(cluster), alpn=["h2"]) != first
        credentials = grpc.ssl_channel_credentials(_roots(cluster))
        options = (("grpc.ssl_target_name_override", NAME),)
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
    finally:
        await server.stop(None)


async def test_servers_are_trusted_by_the_old_root_alone_after_the_serving_ca_has_moved_on(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()
    old = _roots(cluster)
    now = read_rotation(cluster.secret("remora-serving-ca"), cluster.now, SERVING)
    new = make_root(new_key(), cluster.now, secrets.token_bytes, SERVING)
    moved = switch(begin(now, new, cluster.now, secrets.token_bytes), cluster.now, force=True)
    cluster.put_secret(
        "remora-serving-ca", secret_data(moved),
        labels={"app.kubernetes.io/managed-by": "remora-operator"},
    )  # fmt: skip
    cluster.api.delete(TLS)  # so that it is signed anew
    await replica.custodian.keep()
    async with _listening(replica.custodian) as port:
        leaf = await _shown(port, old)
        assert leaf.issuer == new.certificate.subject
        assert await _shown(port, new.certificate_pem) == leaf


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "remora-operator-tls: is not there; the last good one is served on"),
        ({"tls.crt": b"x", "tls.key": b"y"}, "holds no certificate with its key; the last good"),
    ],
    ids=["deleted", "damaged"],
)
async def test_without_a_leader_the_last_good_certificate_is_served_on(cluster, data, said):
    await cluster.replica().custodian.keep()
    follower = cluster.replica(leads=False)
    await follower.custodian.keep()
    if data is None:
        cluster.api.delete(TLS)
    else:
        cluster.put_secret("remora-operator-tls", data)
    await follower.custodian.keep()
    assert said in follower.said
    assert follower.custodian.is_ready
    async with _listening(follower.custodian) as port:
        assert await _shown(port, _roots(cluster))


@pytest.mark.parametrize("damage", ["deleted", "key of another"])
async def test_a_leader_makes_a_lost_certificate_anew(cluster, damage):
    leader = cluster.replica()
    await leader.custodian.keep()
    if damage == "deleted":
        cluster.api.delete(TLS)
    else:
        other = cluster.secret("remora-aggregator-tls")["tls.key"]
        mixed = {**cluster.secret("remora-operator-tls"), "tls.key": other}
        labels = cluster.get(TLS)["metadata"]["labels"]
        cluster.put_secret("remora-operator-tls", mixed, labels=labels)
    await leader.custodian.keep()
    assert leader.said == ""
    async with _listening(leader.custodian) as port:
        assert await _shown(port, _roots(cluster))


async def test_a_certificate_that_ran_out_while_no_leader_was_there_is_said_and_mended(cluster):
    await cluster.replica().custodian.keep()
    follower = cluster.replica(leads=False)
    await follower.custodian.keep()
    cluster.clock.advance(31 * DAY_S)
    assert not follower.custodian.is_ready
    await follower.custodian.keep()
    assert "the certificate expired at" in follower.said
    follower.leads = True
    await follower.custodian.keep()
    assert follower.said == ""
    assert follower.custodian.is_ready


async def test_a_certificate_of_a_leader_whose_clock_was_ahead_is_made_anew(cluster):
    cluster.clock.step_wall(2 * DAY_S)
    await cluster.replica().custodian.keep()
    cluster.clock.step_wall(-2 * DAY_S)
    # The root itself is not valid yet: a certificate that is would be of no use.
    waits = cluster.replica()
    await waits.custodian.keep()
    assert "the certificate is valid only from" in waits.said
    assert not waits.custodian.is_ready

    cluster.clock.step_wall(2 * DAY_S)
    await waits.custodian.keep()
    assert waits.custodian.is_ready
    cluster.clock.advance(20.5 * DAY_S)
    cluster.clock.step_wall(5 * DAY_S)
    await waits.custodian.keep()
    cluster.clock.step_wall(-5 * DAY_S)
    assert not waits.custodian.is_ready
    await waits.custodian.keep()
    assert waits.custodian.is_ready


async def test_a_server_whose_clock_is_an_hour_behind_serves_at_once(cluster):
    await cluster.replica().custodian.keep()
    cluster.clock.step_wall(-3500)
    behind = cluster.replica(leads=False)
    await behind.custodian.keep()
    assert behind.custodian.is_ready


async def test_what_somebody_else_put_into_a_servers_secret_is_said_and_left(cluster):
    data = _issued(cluster, new_key())
    cluster.put_secret("remora-operator-tls", data)
    replica = cluster.replica()
    await replica.custodian.keep()
    assert "remora-operator-tls: was not made by the operator" in replica.said
    assert cluster.secret("remora-operator-tls") == data


def _issued(cluster, key, names=(NAME,), days=90, root=None):
    """What cert-manager writes: a leaf of an issuer of its own."""
    root = root or make_root(new_key(), cluster.now, secrets.token_bytes, SERVING)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(cluster.now - timedelta(hours=1))
        .not_valid_after(cluster.now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()), False
        )
    )
    leaf = builder.sign(root.key, hashes.SHA256())
    return {
        "tls.crt": leaf.public_bytes(Encoding.PEM),
        "tls.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "ca.crt": root.certificate_pem,
    }


async def test_with_cert_manager_its_certificates_are_used_as_they_are(cluster):
    replica = cluster.replica(webhook_certificate="certManager")
    await replica.custodian.keep()
    assert "remora-operator-tls: is not there" in replica.said
    assert not replica.custodian.is_ready
    issuer = make_root(new_key(), cluster.now, secrets.token_bytes, SERVING)
    slow = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    cluster.put_secret("remora-operator-tls", _issued(cluster, slow, root=issuer))
    cluster.put_secret("remora-aggregator-tls", _issued(cluster, new_key(), root=issuer))
    cluster.put_webhooks("AAAA")
    await replica.custodian.keep()
    assert replica.said == ""
    assert replica.custodian.is_ready
    assert cluster.trust()["data"]["serving-ca.pem"].encode() == issuer.certificate_pem
    assert cluster.get(f"{SYSTEM}/secrets/remora-serving-ca") is None
    async with _listening(replica.custodian) as port:
        first = await _shown(port, issuer.certificate_pem)
        assert isinstance(first.public_key(), rsa.RSAPublicKey)
        # Another kind of key: the old certificate must not stay beside it.
        cluster.put_secret("remora-operator-tls", _issued(cluster, new_key(), root=issuer))
        await replica.custodian.keep()
        second = await _shown(port, issuer.certificate_pem)
        assert isinstance(second.public_key(), ec.EllipticCurvePublicKey)


async def test_a_certificate_for_other_names_is_said(cluster):
    replica = cluster.replica(webhook_certificate="certManager")
    cluster.put_secret("remora-operator-tls", _issued(cluster, new_key(), ["other.svc"]))
    await replica.custodian.keep()
    assert f"the certificate is not good for {NAME}" in replica.said
