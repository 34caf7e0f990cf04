import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.model.exchange import Headers
from remora_sidecar.model.signature import is_signed

SIGNED = (
    b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/bedrock/aws4_request, "
    b"SignedHeaders=host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400"
)


@pytest.mark.parametrize(
    ("headers", "signed"),
    [
        ([(b"Authorization", SIGNED)], True),
        ([(b"authorization", SIGNED.lower())], True),
        ([(b"AUTHORIZATION", SIGNED.replace(b"HMAC-", b"ECDSA-P256-"))], True),
        ([(b"Host", b"h"), (b"X-Amz-Content-SHA256", b"e3b0c44298fc1c14")], True),
        ([(b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD")], True),
        ([(b"Authorization", b"Bearer bedrock-api-key-AWS4-HMAC-SHA256")], False),
        ([(b"Authorization", b"Basic QVdTNC1ITUFDLVNIQTI1Ng==")], False),
        ([(b"x-api-key", SIGNED)], False),
        ([(b"x-amz-date", b"20260101T000000Z")], False),
        ([(b"Authorization", b"")], False),
        ([], False),
    ],
    ids=[
        "version 4", "lower case", "version 4a", "hash of the content", "content left out",
        "a Bedrock API key", "a password", "another field", "a date alone", "empty", "nothing",
    ],
)  # fmt: skip
def test_a_signature_is_told_from_a_key(headers: Headers, signed: bool) -> None:
    assert is_signed(headers) is signed


@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_no_headers_raise(headers: list[tuple[bytes, bytes]]) -> None:
    is_signed([(b"authorization", value) for _, value in headers])
    is_signed(headers)
