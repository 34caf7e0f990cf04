"""Whose call it is, by the credentials that it carries. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from urllib.parse import unquote_plus

_WORDS = frozenset(
    {
        "accesstoken", "apikey", "auth", "authorization", "awsaccesskeyid", "bearer", "code",
        "cookie", "credential", "credentials", "jwt", "key", "passwd", "password", "secret", "sig",
        "signature", "token",
    }
)  # fmt: skip
_SIGNED_QUERY = "x_amz_"
_SCHEME = b"AWS4-"
_SIGV4 = re.compile(rb"[\s,]Credential=([^/,\s]+)/[^/,\s]+/([^,\s]+)")
"""The access key id and the scope without its date: ``region/service/aws4_request``, in the
asymmetric form without region (AWS Signature Version 4, "Create a signed request")."""


class CredentialKind(Enum):
    """How a call says whose it is.

    ``NONE``: not at all. ``SECRET``: by something that only its owner knows. ``SIGNED``: by a
    signature made with a secret that is not sent, beside the name of the key, which is no
    secret; whoever knows that name can claim it where nobody checks the signature.
    """

    NONE = "none"
    SECRET = "secret"  # noqa: S105 - a kind
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Credential:
    """All that tells one caller from another, names and values; never shown."""

    kind: CredentialKind
    parts: tuple[bytes, ...] = field(default=(), repr=False)


Named = Sequence[tuple[bytes, bytes]]
"""Names, lower case, and values."""


@lru_cache(maxsize=1024)
def is_credential_header(name: bytes) -> bool:
    """Tell whether a header's name, lower case, says that its value is a credential."""
    return not _WORDS.isdisjoint(re.split(r"[-_.]", name.decode("latin-1")))


@lru_cache(maxsize=1024)
def is_credential_parameter(name: str) -> bool:
    """Tell whether a query parameter's name says that its value is a credential or signature."""
    plain = re.sub(r"[-.]", "_", unquote_plus(name).strip(" ?").lower())
    return plain.startswith(_SIGNED_QUERY) or not _WORDS.isdisjoint(plain.split("_"))


def credential_of(headers: Named, parameters: Sequence[str]) -> Credential:
    """Sum up the credentials of a call.

    Args:
        headers: The fields that carry credentials.
        parameters: The query parameters that do, as sent.
    """
    if parameters and any(name.lower().startswith("x-amz-") for name in parameters):
        return _presigned(headers, parameters)
    for name, value in headers:
        if name == b"authorization" and value.startswith(_SCHEME):
            return _signed(headers, value)
    parts = [part for pair in headers for part in pair]
    parts += [parameter.encode("utf-8", "surrogatepass") for parameter in parameters]
    return Credential(CredentialKind.SECRET if parts else CredentialKind.NONE, tuple(parts))


def _signed(headers: Named, authorization: bytes) -> Credential:
    """The signature differs each time; key, scope and session token do not."""
    others = [part for pair in headers if pair[0] != b"authorization" for part in pair]
    if (found := _SIGV4.search(authorization)) is None:
        return Credential(CredentialKind.SECRET, (authorization, *others))
    proven = any(name == b"x-amz-security-token" for name, _ in headers)
    kind = CredentialKind.SECRET if proven else CredentialKind.SIGNED
    return Credential(kind, (_SCHEME, found[1], found[2], *others))


def _presigned(headers: Named, parameters: Sequence[str]) -> Credential:
    """A signature in the query; what it says of the time is left out with it."""
    kept, proven = [part for pair in headers for part in pair], False
    for parameter in sorted(parameters):
        name, _, value = parameter.partition("=")
        name = unquote_plus(name).lower()
        if name == "x-amz-credential":
            key_id, _, scope = unquote_plus(value).partition("/")
            kept += [_SCHEME, _bytes(key_id), _bytes(scope.partition("/")[2])]
        elif name not in _EACH_TIME:
            kept.append(_bytes(parameter))
            proven = proven or name == "x-amz-security-token"
    kind = CredentialKind.SECRET if proven else CredentialKind.SIGNED
    return Credential(kind, tuple(kept))


_EACH_TIME = frozenset({"x-amz-signature", "x-amz-date", "x-amz-expires", "x-amz-signedheaders"})


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
