"""What a sidecar may ask to have signed."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from remora.errors import BadRequest
from remora_operator.ca.authority import new_key
from remora_operator.ca.request import MAX_REQUEST_BYTES, requested_key


def _der(key, algorithm=None):
    algorithm = algorithm or (
        None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    )
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


GOOD = _der(new_key())


def _others_key():
    """A request whose key was exchanged for another after it was signed."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    points = [
        key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for key in keys
    ]
    return _der(keys[0]).replace(*points)


def test_the_key_of_a_proven_request_is_taken(make_request):
    key = new_key()
    assert requested_key(make_request(key)) == key.public_key()


def test_names_that_it_asks_for_change_nothing(make_request):
    key = new_key()
    assert requested_key(make_request(key, "api.openai.com", "*.example")) == key.public_key()


@pytest.mark.parametrize(
    ("request_der", "why"),
    [
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(b"\x30\x82", "not PKCS", id="a header alone"),
        pytest.param(b"\x00" * (MAX_REQUEST_BYTES + 1), "larger than", id="too large"),
        pytest.param(GOOD + b"\x00", "not PKCS", id="bytes after it"),
        pytest.param(_der(rsa.generate_private_key(65537, 2048)), "P-256", id="rsa"),
        pytest.param(_der(ec.generate_private_key(ec.SECP384R1())), "P-256", id="p-384"),
        pytest.param(_der(ec.generate_private_key(ec.SECP256K1())), "P-256", id="another 256"),
        pytest.param(_der(ed25519.Ed25519PrivateKey.generate()), "P-256", id="ed25519"),
        pytest.param(_others_key(), "not signed by the key", id="another's key"),
    ],
)
def test_what_can_not_be_signed_is_refused_with_a_reason(request_der, why):
    with pytest.raises(BadRequest, match=why) as refused:
        requested_key(request_der)
    assert refused.value.code == "INVALID_CERTIFICATE_REQUEST"


@given(st.binary(max_size=600))
@example(b"0" * 600)
def test_garbage_is_refused_and_nothing_else_happens(garbage):
    with pytest.raises(BadRequest):
        requested_key(garbage)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_nothing(at, by):
    changed = bytearray(GOOD)
    changed[at] ^= by
    try:
        key = requested_key(bytes(changed))
    except BadRequest:
        return
    assert key == x509.load_der_x509_csr(GOOD).public_key()
