"""What a sidecar asks to have signed: a certificate request (PKCS #10, RFC 2986). Pure.

Only its key is taken. Names and extensions that it asks for are not even looked at: what a
certificate says is the operator's to decide.
"""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from remora.errors import BadRequest

MAX_REQUEST_BYTES = 4096
"""A request with a P-256 key and a few names has some 250 bytes."""

INVALID = "INVALID_CERTIFICATE_REQUEST"


def requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a request whose sender has shown to hold its private half.

    Args:
        request: PKCS #10, DER.

    Raises:
        BadRequest: It is none, its key is not P-256, or it is not signed by that key.
    """
    if not request:
        raise _refused("is empty")
    if len(request) > MAX_REQUEST_BYTES:
        raise _refused(f"is larger than {MAX_REQUEST_BYTES} bytes")
    try:
        asked = x509.load_der_x509_csr(request)
        key, is_proven = asked.public_key(), asked.is_signature_valid
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm, InvalidSignature):
        raise _refused("is not PKCS #10 in DER form") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _refused("has a key that is not on the curve P-256")
    if not is_proven:
        raise _refused("is not signed by the key that it holds")
    return key


def _refused(what: str) -> BadRequest:
    return BadRequest(f"the certificate request {what}", code=INVALID)
