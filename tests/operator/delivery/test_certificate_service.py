"""CertificateService over real gRPC, with identities from a real (small) API server."""

import secrets
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.errors import Unavailable
from remora.testing.kubernetes_tokens import KnownToken
from remora_operator.ca.authority import INTERCEPTION, make_root, new_key
from remora_operator.ca.rotation import begin, steady, switch
from remora_operator.delivery.certificate_service import CertificateService
from remora_operator.delivery.signing_rate import SigningRate
from remora_proto.v1 import certificates_pb2 as pb
from remora_proto.v1 import certificates_pb2_grpc as pb_grpc

TOKEN = "token-of-the-agent"
START = datetime(2026, 1, 1, tzinfo=UTC)


def _request(key=None):
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    return builder.sign(key or new_key(), hashes.SHA256()).public_bytes(Encoding.DER)


class Operator:
    """What stands behind the service."""

    def __init__(self):  # noqa: D107
        self.hosts = {"agent-1": ["api.openai.com", "*.openai.azure.com"]}
        root = make_root(new_key(), START, secrets.token_bytes, INTERCEPTION)
        self.rotation = steady(root, INTERCEPTION, START)
        self.fails = None

    def hosts_of(self, who):
        if self.fails:
            raise self.fails
        if who.pod_name not in self.hosts:
            raise Unavailable(f"the policy of {who} is not known yet")
        return self.hosts[who.pod_name]


@pytest.fixture
def operator():
    return Operator()


@pytest.fixture
async def ask(operator, reviews, clock, tmp_path):
    """Asks over a Unix socket."""
    service = CertificateService(
        reviews, operator.hosts_of, lambda: operator.rotation, clock,
        version="1.2.3", rate=SigningRate(burst=3, every_s=20.0),
    )  # fmt: skip
    server = grpc.aio.server()
    pb_grpc.add_CertificateServiceServicer_to_server(service, server)
    server.add_insecure_port(f"unix:{tmp_path}/o.sock")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/o.sock") as channel:
        stub = pb_grpc.CertificateServiceStub(channel)

        async def asked(request=None, *, token=TOKEN):
            metadata = (("authorization", f"Bearer {token}"),) if token else ()
            der = _request() if request is None else request
            return await stub.Sign(
                pb.SignRequest(certificate_request=der), metadata=metadata, timeout=20
            )

        yield asked
    await server.stop(None)


async def _refused(asking):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asking
    return refused.value.code(), refused.value.details()


async def test_a_pod_gets_what_its_policy_permits(ask, operator):
    key = new_key()
    answer = await ask(_request(key))
    [one] = answer.intermediates
    certificate = x509.load_der_x509_certificate(one.certificate)
    certificate.verify_directly_issued_by(operator.rotation.old.certificate)
    assert certificate.public_key() == key.public_key()
    assert list(one.permitted_names) == ["openai.azure.com", "api.openai.com"]
    assert list(answer.permitted_hosts) == ["api.openai.com", "*.openai.azure.com"]
    assert "OU=team-a" in certificate.subject.rfc4514_string()
    end = certificate.not_valid_after_utc
    assert answer.not_after_unix_nano == int(end.timestamp()) * 10**9
    assert end == START + timedelta(days=1)
    assert (answer.renew_after_s, answer.operator_version) == (12 * 3600.0, "1.2.3")
    assert [x509.load_der_x509_certificate(root) for root in answer.roots] == [
        operator.rotation.old.root
    ]
    assert len(answer.roots_version) == 64


async def test_after_a_rotation_the_chain_leads_to_both_roots(ask, operator):
    new = make_root(new_key(), START, secrets.token_bytes, INTERCEPTION)
    published = begin(operator.rotation, new, START, secrets.token_bytes)
    operator.rotation = switch(published, START, force=True)
    answer = await ask()
    [link] = [x509.load_der_x509_certificate(link) for link in answer.links]
    [made] = [x509.load_der_x509_certificate(one.certificate) for one in answer.intermediates]
    made.verify_directly_issued_by(link)
    link.verify_directly_issued_by(operator.rotation.old.certificate)
    assert len(answer.roots) == 2


async def test_a_policy_without_hosts_is_answered_with_nothing_to_sign(ask, operator):
    operator.hosts["agent-1"] = []
    answer = await ask()
    assert (list(answer.intermediates), len(answer.roots)) == ([], 1)
    assert answer.renew_after_s == 12 * 3600.0


async def test_each_pod_gets_its_own_hosts(ask, operator, cluster):
    cluster.add_pod("team-b", "agent-2", token="second", audience="remora-operator")
    operator.hosts["agent-2"] = ["api.anthropic.com"]
    answer = await ask(token="second")
    assert list(answer.permitted_hosts) == ["api.anthropic.com"]


async def test_nobody_signs_without_a_token_or_with_anothers(ask, cluster):
    cluster.tokens["aggregators"] = KnownToken(
        "team-a", audiences=("remora-aggregator",), pod_name="agent-1", pod_uid="u"
    )
    code, said = await _refused(ask(token=""))
    assert (code, "a token is needed" in said) == (grpc.StatusCode.UNAUTHENTICATED, True)
    code, said = await _refused(ask(token="aggregators"))
    assert (code, "remora-operator" in said) == (grpc.StatusCode.UNAUTHENTICATED, True)


async def test_a_pod_that_is_gone_is_refused(ask, cluster):
    cluster.delete("/api/v1/namespaces/team-a/pods/agent-1")
    code, said = await _refused(ask())
    assert (code, "does not exist" in said) == (grpc.StatusCode.PERMISSION_DENIED, True)


async def test_a_pod_whose_policy_is_not_known_yet_comes_again(ask, operator):
    operator.hosts.clear()
    code, said = await _refused(ask())
    assert (code, "not known yet" in said) == (grpc.StatusCode.UNAVAILABLE, True)


async def test_an_api_server_that_is_away_is_no_refusal(ask, cluster):
    cluster.fails_with = 503
    assert (await _refused(ask()))[0] is grpc.StatusCode.UNAVAILABLE


async def test_a_host_that_can_not_be_certified_is_said(ask, operator):
    operator.hosts["agent-1"] = ["api.openai.com", "10.0.0.1"]
    code, said = await _refused(ask())
    assert (code, "'10.0.0.1'" in said) == (grpc.StatusCode.FAILED_PRECONDITION, True)


async def test_an_expired_ca_is_said(ask, operator, clock):
    clock.advance((operator.rotation.old.end - START).total_seconds())
    code, said = await _refused(ask())
    assert (code, "rotate it" in said) == (grpc.StatusCode.FAILED_PRECONDITION, True)


async def test_a_pod_that_asks_too_often_is_told_when_to_come(ask, clock):
    for _ in range(3):
        await ask()
    code, said = await _refused(ask())
    assert (code, "one more in 20 s" in said) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
    clock.advance(20)
    assert (await ask()).intermediates


@pytest.mark.parametrize("der", [b"", b"junk", b"\x30" * 5000], ids=["empty", "junk", "large"])
async def test_what_is_no_request_is_refused(ask, der):
    code, said = await _refused(ask(der))
    assert (code, "certificate request" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_a_bug_of_ours_tells_callers_nothing(ask, operator, caplog):
    operator.fails = RuntimeError("the key is hunter2")
    code, said = await _refused(ask())
    assert (code, said) == (
        grpc.StatusCode.INTERNAL, "the operator failed; its log says why",
    )  # fmt: skip
    assert "could not be signed" in caplog.text


@settings(max_examples=30)
@given(st.lists(st.text(max_size=30), max_size=6))
def test_whatever_hosts_a_policy_names_nothing_wider_is_permitted(hosts):
    from remora.errors import ConfigError
    from remora_operator.ca.intermediate import sign_intermediates
    from remora_operator.ca.permitted_hosts import covers

    root = make_root(new_key(), START, secrets.token_bytes, INTERCEPTION)
    try:
        made = sign_intermediates(new_key().public_key(), hosts, root, START, secrets.token_bytes)
    except ConfigError:
        return
    for one in made:
        found = one.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        names = [name.value for name in found.permitted_subtrees]
        assert names
        assert not any(covers(names, wide) for wide in ("com", "io", "api.openai.com"))
