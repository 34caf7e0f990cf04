"""The operator for tests signs what real clients accept, and what a test wants besides."""

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from remora.testing.certificate_server import CertificateServer
from remora_proto.v1 import certificates_pb2 as pb
from remora_proto.v1 import certificates_pb2_grpc as pb_grpc


@pytest.fixture
def server():
    return CertificateServer()


@pytest.fixture
async def ask(server, tmp_path):
    running = grpc.aio.server()
    pb_grpc.add_CertificateServiceServicer_to_server(server, running)
    running.add_insecure_port(f"unix:{tmp_path}/o.sock")
    await running.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/o.sock") as channel:
        stub = pb_grpc.CertificateServiceStub(channel)

        async def asked(key):
            builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
            der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
            return await stub.Sign(pb.SignRequest(certificate_request=der), timeout=20)

        yield asked
    await running.stop(None)


@pytest.fixture
def key():
    return ec.generate_private_key(ec.SECP256R1())


def _read(ders):
    return [x509.load_der_x509_certificate(der) for der in ders]


async def test_it_signs_the_key_for_all_hosts_of_built_in_providers(server, ask, key):
    answer = await ask(key)
    made = _read(one.certificate for one in answer.intermediates)
    [root] = _read(answer.roots)
    for certificate in made:
        certificate.verify_directly_issued_by(root)
        assert certificate.public_key() == key.public_key()
    names = {name for one in answer.intermediates for name in one.permitted_names}
    assert "api.openai.com" in names
    assert root.public_bytes(Encoding.PEM) == server.root_pem
    assert len(server.requests) == 1


async def test_a_new_root_is_vouched_for_by_the_old(server, ask, key):
    server.hosts = ["a.example"]
    server.rotate()
    answer = await ask(key)
    new, old = _read(answer.roots)
    [link] = _read(answer.links)
    link.verify_directly_issued_by(old)
    assert (link.subject, link.public_key()) == (new.subject, new.public_key())
    [made] = _read(one.certificate for one in answer.intermediates)
    made.verify_directly_issued_by(new)


async def test_it_refuses_when_told_to(server, ask, key):
    server.refuses_with = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError, match="the words of the operator"):
        await ask(key)


async def test_lives_and_keys_are_what_a_test_wants(server, ask, key):
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    server.hosts, server.life_s, server.renew_after_s, server.for_key = ["a.example"], 60, 7, other
    answer = await ask(key)
    [made] = _read(one.certificate for one in answer.intermediates)
    assert (made.public_key(), answer.renew_after_s) == (other, 7.0)
    assert (made.not_valid_after_utc - made.not_valid_before_utc).total_seconds() == 3660
