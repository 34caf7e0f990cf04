"""A root is replaced while agents run: the desk's steps, the custodian's work, real handshakes.

The operator's CertificateService signs a sidecar's key over gRPC; a server shows what the sidecar
would; the agents are TLS clients that read their roots once.
"""

import asyncio
import json
import secrets
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.operator.custody.staging import DAY_S, SYSTEM

from remora.errors import BadRequest, Unavailable
from remora_operator.ca.authority import INTERCEPTION, make_root, new_key
from remora_operator.ca.rotation import Phase
from remora_operator.custody.next_step import RotationStep
from remora_operator.custody.rotation_desk import Ca, RotationDesk
from remora_operator.delivery.certificate_service import CertificateService
from remora_operator.delivery.token_review import AUDIENCE, TokenReviews
from remora_proto.v1 import certificates_pb2 as pb
from remora_proto.v1 import certificates_pb2_grpc as pb_grpc

HOST = "api.openai.com"
TOKEN = "token-of-the-sidecar"
INJECTED = {"annotations": {"remora.dev/status": "{}"}}


def _desk(cluster):
    return RotationDesk(cluster.server, "remora-system", cluster.clock, secrets.token_bytes)


@asynccontextmanager
async def _sidecar(cluster, replica, folder):
    """Give what has the operator sign a new key, and returns the TLS that a sidecar serves then."""
    cluster.api.add_pod("team-a", "sidecar", token=TOKEN, audience=AUDIENCE)
    reviews = TokenReviews(cluster.server, cluster.clock)
    service = CertificateService(
        reviews, lambda _who: [HOST], replica.custodian.rotation, cluster.clock, version="1"
    )
    server = grpc.aio.server()
    pb_grpc.add_CertificateServiceServicer_to_server(service, server)
    port = server.add_secure_port("127.0.0.1:0", replica.custodian.grpc_credentials())
    await server.start()
    try:
        yield lambda: _signed(cluster, port, folder)
    finally:
        await server.stop(None)
        await reviews.aclose()


async def _signed(cluster, port, folder):
    key, roots = new_key(), cluster.trust()["data"]["serving-ca.pem"].encode()
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    async with grpc.aio.secure_channel(
        f"127.0.0.1:{port}",
        grpc.ssl_channel_credentials(roots),
        (("grpc.ssl_target_name_override", "remora-operator.remora-system.svc"),),
    ) as channel:
        said = await pb_grpc.CertificateServiceStub(channel).Sign(
            pb.SignRequest(certificate_request=request.public_bytes(Encoding.DER)),
            metadata=(("authorization", f"Bearer {TOKEN}"),),
            timeout=60,
        )
    signed = [x509.load_der_x509_certificate(said.intermediates[0].certificate)]
    signed += map(x509.load_der_x509_certificate, said.links)
    chain = (_leaf(key, signed[0], cluster.now), *signed)
    file = folder / f"{secrets.token_hex(4)}.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + b"".join(one.public_bytes(Encoding.PEM) for one in chain)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _leaf(key, issuer, now):
    """As the interceptor makes them: the CA's own key, the name alone."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=30))
        .not_valid_after(now + timedelta(hours=12))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False
        )
    )
    return builder.sign(key, hashes.SHA256())


def _starts(cluster):
    """Start an agent: it reads the trust files now, and never again."""
    return ssl.create_default_context(cadata=cluster.trust()["data"]["ca.pem"])


async def _trusts(agent, served):
    """Whether an agent's handshake with a sidecar succeeds."""
    async with _listening(served) as port:
        try:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=agent, server_hostname=HOST
            )
        except ssl.SSLCertVerificationError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


@asynccontextmanager
async def _listening(context):
    async def close(_reader, writer):
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _add_agent(cluster, name):
    metadata = {**INJECTED, "creationTimestamp": cluster.now.isoformat()}
    cluster.api.add_pod("team-a", name, metadata=metadata)


async def test_agents_that_hold_only_the_old_root_go_on_through_a_whole_rotation(cluster, tmp_path):
    cluster.clock.step_wall(-3 * DAY_S)
    desk = _desk(cluster)
    leader, follower = cluster.replica(), cluster.replica(leads=False)

    async def pass_by(seconds):
        cluster.clock.advance(seconds)
        await leader.custodian.keep()
        await follower.custodian.keep()

    await pass_by(0)
    before = _starts(cluster)
    _add_agent(cluster, "before")

    assert await desk.take(Ca.INTERCEPTION, None) is RotationStep.BEGIN
    await pass_by(0)
    between = _starts(cluster)
    with pytest.raises(BadRequest, match="pods have the new root by"):
        await desk.take(Ca.INTERCEPTION, None)
    await pass_by(181)
    assert await desk.take(Ca.INTERCEPTION, None) is RotationStep.SWITCH

    await pass_by(1)
    after = _starts(cluster)
    _add_agent(cluster, "after")
    with pytest.raises(BadRequest, match="certificates of the old root are in use"):
        await desk.take(Ca.INTERCEPTION, None)
    # The handshakes are by the machine's clock, which is where the third day ends.
    await pass_by(3 * DAY_S - 182)
    async with _sidecar(cluster, follower, tmp_path) as signed:
        assert follower.custodian.rotation().phase is Phase.SWITCHED
        served = await signed()
        assert [await _trusts(one, served) for one in (before, between, after)] == [True] * 3
        with pytest.raises(BadRequest, match="1 pods were started before the new root"):
            await desk.take(Ca.INTERCEPTION, None)
        cluster.api.delete("/api/v1/namespaces/team-a/pods/before")
        assert await desk.take(Ca.INTERCEPTION, None) is RotationStep.RETIRE
        await pass_by(0)
        served = await signed()
        trusted = [await _trusts(one, served) for one in (before, between, after)]
    assert trusted == [False, True, True]
    assert leader.said == ""
    assert cluster.trust()["data"]["ca.pem"].count("BEGIN CERTIFICATE") == 1


async def test_a_namespace_without_the_new_root_holds_the_switch(cluster):
    cluster.namespaces.add("team-b")
    leader, desk = cluster.replica(), _desk(cluster)
    await leader.custodian.keep()
    await desk.take(Ca.INTERCEPTION, RotationStep.BEGIN)
    cluster.api.refuses = lambda method, path: 500 if method == "PUT" and "team-b" in path else None
    cluster.clock.advance(600)
    await leader.custodian.keep()
    outlook = await desk.outlook(Ca.INTERCEPTION)
    assert outlook.next_step is RotationStep.SWITCH
    [held] = outlook.held_by
    assert held.endswith("do not hold the new root yet: team-b")
    with pytest.raises(BadRequest, match="team-b"):
        await desk.take(Ca.INTERCEPTION, RotationStep.SWITCH)
    assert await desk.take(Ca.INTERCEPTION, RotationStep.SWITCH, force=True)
    await leader.custodian.keep()
    assert leader.custodian.rotation().phase is Phase.SWITCHED


async def test_a_published_root_can_be_taken_back(cluster):
    leader, desk = cluster.replica(), _desk(cluster)
    await leader.custodian.keep()
    root = leader.custodian.rotation().roots
    await desk.take(Ca.INTERCEPTION, None)
    await leader.custodian.keep()
    assert len(leader.custodian.rotation().roots) == 2
    assert await desk.take(Ca.INTERCEPTION, RotationStep.ABANDON) is RotationStep.ABANDON
    await leader.custodian.keep()
    assert leader.custodian.rotation().roots == root
    assert leader.said == ""


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (RotationStep.SWITCH, "signing can't switch: no rotation is under way"),
        (RotationStep.RETIRE, "the old root can't be retired: no rotation is under way"),
        (RotationStep.ABANDON, "the new root can't be taken back: no rotation is under way"),
    ],
)
async def test_a_step_out_of_turn_is_refused_with_force_as_well(cluster, step, said):
    await cluster.replica().custodian.keep()
    desk, before = _desk(cluster), cluster.secret("remora-ca")
    for force in (False, True):
        with pytest.raises(BadRequest, match=said):
            await desk.take(Ca.INTERCEPTION, step, force=force)
    assert cluster.secret("remora-ca") == before


async def test_a_rotation_done_while_no_operator_ran_is_taken_over(cluster):
    await cluster.replica().custodian.keep()
    desk = _desk(cluster)
    for _ in range(3):
        await desk.take(Ca.INTERCEPTION, None, force=True)
    restarted = cluster.replica()
    await restarted.custodian.keep()
    assert restarted.said == ""
    assert cluster.secret("remora-ca")["ca.crt"].decode() == cluster.trust()["data"]["ca.pem"]


async def test_two_people_of_one_moment_take_one_step(cluster):
    await cluster.replica().custodian.keep()
    steps = [_desk(cluster).take(Ca.INTERCEPTION, RotationStep.BEGIN) for _ in range(2)]
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    assert sorted(map(str, outcomes))[1] == "begin"
    assert any(isinstance(one, BadRequest) for one in outcomes)
    leader = cluster.replica()
    await leader.custodian.keep()
    assert leader.said == ""
    assert leader.custodian.rotation().phase is Phase.PUBLISHED


async def test_the_serving_ca_goes_on_by_itself_after_a_person_began(cluster):
    leader, desk = cluster.replica(), _desk(cluster)
    await leader.custodian.keep()
    await desk.take(Ca.SERVING, RotationStep.BEGIN)
    phases = set()
    for _ in range(6):
        await leader.custodian.keep()
        state = json.loads(cluster.secret("remora-serving-ca")["rotation.json"])
        phases.add(state["phase"])
        cluster.clock.advance(120)
    assert phases == {"published", "switched"}


async def test_what_cert_manager_writes_is_not_rotated_behind_its_back(cluster):
    root = make_root(new_key(), cluster.now, secrets.token_bytes, INTERCEPTION)
    data = {"tls.crt": root.certificate_pem, "tls.key": root.key_pem}
    annotations = {"cert-manager.io/certificate-name": "remora-root"}
    cluster.put_secret("remora-ca", data, annotations=annotations)
    await cluster.replica().custodian.keep()
    desk = _desk(cluster)
    with pytest.raises(BadRequest, match="Certificate 'remora-root' writes the Secret"):
        await desk.take(Ca.INTERCEPTION, None)
    with pytest.raises(BadRequest, match="have it issued anew"):
        await desk.replace(Ca.INTERCEPTION, force=True)
    assert cluster.secret("remora-ca") == data


@pytest.mark.parametrize("loss", ["gone", "damaged"])
@pytest.mark.parametrize("ca", list(Ca))
async def test_a_person_may_give_up_a_root_that_is_lost(cluster, ca, loss):
    await cluster.replica().custodian.keep()
    if loss == "gone":
        cluster.api.delete(f"{SYSTEM}/secrets/{ca.secret}")
    else:
        cluster.put_secret(ca.secret, {"tls.crt": b"", "tls.key": b""})
    desk = _desk(cluster)
    assert (await desk.outlook(ca)).problems
    with pytest.raises(BadRequest, match=r"tls\.crt|is gone"):
        await desk.take(ca, None)
    assert (await desk.replace(ca)).startswith("made the root")
    leader = cluster.replica()
    await leader.custodian.keep()
    assert leader.said == ""
    assert leader.custodian.is_ready
    assert cluster.bundles()[0] == cluster.secret("remora-serving-ca")["ca.crt"]
    assert cluster.trust()["data"]["ca.pem"].encode() == cluster.secret("remora-ca")["ca.crt"]


async def test_a_person_may_accept_another_root_in_the_secret(cluster):
    leader = cluster.replica()
    await leader.custodian.keep()
    root = make_root(new_key(), cluster.now, secrets.token_bytes, INTERCEPTION)
    data = {"tls.crt": root.certificate_pem, "tls.key": root.key_pem}
    cluster.put_secret("remora-ca", data)
    await leader.custodian.keep()
    assert "holds another root" in leader.said
    assert (await _desk(cluster).replace(Ca.INTERCEPTION)).startswith("accepted the root")
    await leader.custodian.keep()
    assert leader.said == ""
    assert leader.custodian.rotation().roots == (root.root,)


async def test_a_root_that_is_well_is_replaced_only_by_force(cluster):
    leader, desk = cluster.replica(), _desk(cluster)
    await leader.custodian.keep()
    old = leader.custodian.rotation().roots
    with pytest.raises(BadRequest, match="nothing is wrong with it"):
        await desk.replace(Ca.INTERCEPTION)
    await desk.replace(Ca.INTERCEPTION, force=True)
    await leader.custodian.keep()
    assert leader.said == ""
    assert not set(leader.custodian.rotation().roots) & set(old)


async def test_a_leader_that_looks_in_the_midst_of_a_replacement_does_not_take_it_for_a_strangers(
    cluster,
):
    leader = cluster.replica()
    await leader.custodian.keep()
    record = f"{SYSTEM}/configmaps/remora-roots"
    before = cluster.get(record)["data"]

    def look(method, path):
        if method == "PUT" and path.endswith("/remora-ca"):
            cluster.api.put(record, {"data": before})

    cluster.api.refuses = look
    await _desk(cluster).replace(Ca.INTERCEPTION, force=True)
    await leader.custodian.keep()
    assert leader.said == ""


async def test_an_api_server_that_is_away_is_unavailable(cluster):
    cluster.api.fails_with = 503
    with pytest.raises(Unavailable):
        await _desk(cluster).outlook(Ca.INTERCEPTION)
