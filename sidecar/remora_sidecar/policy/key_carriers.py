"""Where requests carry keys: taken out and put in, with nothing else changed. Pure.

A key is looked for wherever some provider takes one, whichever the request is for: an agent may
hold a key of one and be sent to another. Cookies are nobody's key and stay.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from remora.providers import AuthScheme, Provider
from remora_sidecar.model.exchange import Headers
from remora_sidecar.model.redaction import is_credential_parameter

KEY_HEADERS = frozenset(
    {
        b"authorization", b"x-api-key", b"api-key", b"apikey", b"x-goog-api-key",
        b"ocp-apim-subscription-key", b"subscription-key", b"x-auth-token", b"x-access-token",
        b"x-serverless-authorization", b"x-goog-iam-authorization-token",
    }
)  # fmt: skip
"""Fields whose value is a key, lower case: of providers, and of gateways in front of them."""

SIGNATURE_HEADERS = frozenset(
    {
        b"x-amz-date", b"x-amz-security-token", b"x-amz-content-sha256", b"x-amz-region-set",
        b"x-amz-algorithm", b"x-amz-credential", b"x-amz-expires", b"x-amz-signature",
        b"x-amz-signedheaders",
    }
)  # fmt: skip
"""Fields of an AWS signature (version 4 or 4a) beside ``Authorization``."""

_CARRIERS = KEY_HEADERS | SIGNATURE_HEADERS

_SUBPROTOCOLS = b"sec-websocket-protocol"
_KEY_SUBPROTOCOLS = (b"openai-insecure-api-key.", b"xai-client-secret.")
"""Browsers can set no header of a WebSocket: realtime APIs take a key as a subprotocol's name."""

_FIELDS: Mapping[AuthScheme, tuple[bytes, bytes]] = {
    AuthScheme.BEARER: (b"Authorization", b"Bearer "),
    AuthScheme.X_API_KEY: (b"x-api-key", b""),
    AuthScheme.API_KEY: (b"api-key", b""),
    AuthScheme.X_GOOG_API_KEY: (b"x-goog-api-key", b""),
}
"""The field of each scheme and what stands in front of the key in it."""

_ONE_WORD = re.compile(r"[\x21-\x7e]+")
_SEPARATOR = re.compile(r"([&;])")


class HeadParts(NamedTuple):
    """What of a request's head may carry keys.

    Attributes:
        headers: Its fields.
        target: Path and query.
    """

    headers: Headers
    target: str


def scheme_for(provider: Provider, dialect: str) -> AuthScheme:
    """Return how a provider takes its key in calls of a dialect.

    Endpoints made for another provider's SDK take the key where that SDK puts it.
    """
    scheme = provider.auth
    if dialect.startswith("openai-") and scheme in (
        AuthScheme.X_API_KEY,
        AuthScheme.X_GOOG_API_KEY,
    ):
        return AuthScheme.BEARER
    if dialect.startswith("anthropic-") and scheme is AuthScheme.API_KEY:
        return AuthScheme.X_API_KEY
    return scheme


def key_problem(key: str) -> str | None:
    """Say why a text can't be a key that is sent in a field; None if it can."""
    if not key:
        return "is empty"
    if _ONE_WORD.fullmatch(key) is None:
        return "is not one word of visible ASCII characters: it should hold the key and no more"
    return None


def without_keys(headers: Headers, target: str) -> HeadParts:
    """Take out every key; all else stays as it was, byte by byte."""
    return with_fields(headers, target, ())


def with_key(headers: Headers, target: str, scheme: AuthScheme, key: str) -> HeadParts:
    """Put a key where a scheme has it, in place of all that the agent sent.

    The field keeps the spelling and the place of the agent's own, if it had one.

    Raises:
        ValueError: The key can't be sent so; the message does not hold it.
    """
    if (problem := key_problem(key)) is not None:
        raise ValueError(f"the key {problem}")
    if scheme not in _FIELDS:
        raise ValueError(f"{scheme.value} sends no key: requests are signed with it")
    name, prefix = _FIELDS[scheme]
    return with_fields(headers, target, [(name, prefix + key.encode("ascii"))])


def with_fingerprint(headers: Headers, target: str, fingerprint: str) -> HeadParts:
    """Put what stands for a key in its place, for a cache key and nothing that is sent."""
    value = b"Remora " + fingerprint.encode("ascii")
    return with_fields(headers, target, [(b"Authorization", value)])


def with_fields(headers: Headers, target: str, fields: Sequence[tuple[bytes, bytes]]) -> HeadParts:
    """Put fields that carry a key or signature in place of all that the agent sent."""
    new = {name.lower(): (name, value) for name, value in fields}
    kept: list[tuple[bytes, bytes]] = []
    for field in headers:
        lower = field[0].lower()
        if lower in new:
            kept.append((field[0], new.pop(lower)[1]))
        elif lower == _SUBPROTOCOLS:
            kept += _other_subprotocols(field)
        elif lower not in _CARRIERS:
            kept.append(field)
    kept += new.values()
    return HeadParts(kept, _without_key_parameters(target))


def _other_subprotocols(field: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    names = field[1].split(b",")
    others = [name for name in names if not name.strip().lower().startswith(_KEY_SUBPROTOCOLS)]
    if len(others) == len(names):
        return [field]
    return [(field[0], b",".join(others).strip())] if others else []


def _without_key_parameters(target: str) -> str:
    path, mark, query = target.partition("?")
    if not query:
        return target
    first, *rest = _SEPARATOR.split(query)
    parameters = [("", first), *zip(rest[::2], rest[1::2], strict=True)]
    others = [part for part in parameters if not _carries_key(part[1])]
    if len(others) == len(parameters):
        return target
    text = "".join(separator + parameter for separator, parameter in others)
    if others and others[0][0]:
        text = text[1:]
    return path + mark + text if text else path


def _carries_key(parameter: str) -> bool:
    return is_credential_parameter(parameter.partition("=")[0])
