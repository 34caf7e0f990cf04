"""Requests signed with AWS Signature Version 4, by botocore, which loads on first use.

What AWS demands is signed, and what its own SDKs sign: host, types, and ``x-amz…`` fields.
Nothing here logs: botocore's own entry writes what it signs, session token included.
"""

import configparser
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from remora_sidecar.engine.headers import RawHeaders, end_to_end
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.request_body import HeldBody
from remora_sidecar.model.exchange import Headers
from remora_sidecar.model.secret_text import SecretText
from remora_sidecar.policy.key_carriers import key_problem, with_fields, without_keys

ANTHROPIC_ON_AWS = "aws-external-anthropic"

_SERVICES: Mapping[str, str] = {
    "bedrock-runtime": "bedrock",
    "bedrock-runtime-fips": "bedrock",
    "bedrock-agent-runtime": "bedrock",
    "bedrock-agent-runtime-fips": "bedrock",
    "bedrock-mantle": "bedrock-mantle",
    ANTHROPIC_ON_AWS: ANTHROPIC_ON_AWS,
}
"""What a signature calls the service of a host, by the host's label in front of the region."""

_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")
_NANOSECONDS = 1_000_000_000


class AwsScope(NamedTuple):
    """What a signature is good for; the region is empty where the host names none."""

    service: str
    region: str


@dataclass(frozen=True, slots=True)
class AwsKey:
    """What requests to AWS are signed with.

    Attributes:
        session_token: Of temporary keys; None for lasting ones.
        region: For hosts that name none; empty if it is not known.
    """

    access_key_id: SecretText
    secret_access_key: SecretText
    session_token: SecretText | None = None
    region: str = ""


def read_aws_key(text: str) -> AwsKey | str | None:
    """Read the text of a Secret for a provider whose requests are signed.

    Returns:
        The key; None where the text is one of Bedrock's API keys, which is sent and signs
        nothing; why it is neither, without a word of it.
    """
    if text.startswith("{"):
        fields = _json_fields(text)
    elif key_problem(text) is None and not text.startswith("["):
        return None
    else:
        fields = _ini_fields(text)
    return fields if isinstance(fields, str) else _aws_key(fields)


def _json_fields(text: str) -> Mapping[str, str] | str:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return "begins like JSON and is none"
    return {name[:1].lower() + name[1:]: v for name, v in read.items() if isinstance(v, str)}


def _ini_fields(text: str) -> Mapping[str, str] | str:
    profiles = configparser.RawConfigParser(strict=False, default_section="")
    try:
        profiles.read_string(text)
    except configparser.Error:
        return "is neither a Bedrock API key nor an AWS credentials file nor JSON"
    names = profiles.sections()
    if not names:
        return "is a credentials file without a profile"
    profile = profiles["default" if "default" in names else names[0]]
    return {_camel(name.removeprefix("aws_")): value for name, value in profile.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _aws_key(fields: Mapping[str, str]) -> AwsKey | str:
    values = {name: fields.get(name, "").strip() for name in _NAMES}
    for name in _NAMES[:2]:
        if (problem := key_problem(values[name])) is not None:
            return f"holds AWS credentials whose {name} {problem}"
    token = values["sessionToken"]
    if token and (problem := key_problem(token)) is not None:
        return f"holds AWS credentials whose sessionToken {problem}"
    region = values["region"]
    return AwsKey(
        SecretText(values["accessKeyId"]),
        SecretText(values["secretAccessKey"]),
        SecretText(token) if token else None,
        region if _REGION.fullmatch(region) else "",
    )


_NAMES = ("accessKeyId", "secretAccessKey", "sessionToken", "region")


def scope_of(host: str) -> AwsScope:
    """Read service and region from a host of AWS, in a VPC and in any partition."""
    labels = host.split(".")
    for label, following in zip(labels, [*labels[1:], ""], strict=True):
        if label in _SERVICES:
            region = following if _REGION.fullmatch(following) else ""
            return AwsScope(_SERVICES[label], region)
    return AwsScope("bedrock", "")


def signed(outgoing: Outgoing, key: AwsKey, now_unix_ns: int) -> Outgoing | str:
    """Sign a request anew, in place of whatever the agent sent.

    Returns:
        The request as it goes out, or why it can't be signed.
    """
    service, region = scope_of(outgoing.endpoint.host)
    region = region or key.region
    if not region:
        return f"the host {outgoing.endpoint.host!r} names no AWS region, nor do the credentials"
    if not isinstance(outgoing.body, HeldBody):
        return "its body is larger than what is held, so it can't be signed"
    given = end_to_end(outgoing.headers)
    headers, target = without_keys(given, outgoing.target)
    if _is_no_text(target):
        return "its path or query is not UTF-8, so it can't be signed"
    fields = _dated(key, now_unix_ns)
    unsigned = replace(outgoing, headers=[*headers, *fields], target=target)
    fields.append((b"Authorization", _authorization(unsigned, key, AwsScope(service, region))))
    headers, target = with_fields(given, target, fields)
    return replace(outgoing, headers=headers, target=target)


def load() -> None:
    """Import what signs, which takes a while; else the first request to be signed does."""
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials  # noqa: F401


def _is_no_text(target: str) -> bool:
    try:
        target.encode()
    except UnicodeEncodeError:
        return True
    return False


def _dated(key: AwsKey, now_unix_ns: int) -> RawHeaders:
    now = datetime.fromtimestamp(now_unix_ns // _NANOSECONDS, UTC)
    fields = [(b"X-Amz-Date", now.strftime("%Y%m%dT%H%M%SZ").encode())]
    if key.session_token is not None:
        fields.append((b"X-Amz-Security-Token", key.session_token.reveal().encode()))
    return fields


def _authorization(unsigned: Outgoing, key: AwsKey, scope: AwsScope) -> bytes:
    from botocore.auth import SigV4Auth  # see `load`
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    host, body = unsigned.endpoint.host, unsigned.body
    request = AWSRequest(
        method=unsigned.method,
        url=f"https://{host}{unsigned.target}",
        data=body.content if isinstance(body, HeldBody) else b"",
    )
    for name, value in _to_sign(unsigned.headers):
        request.headers.add_header(name, value)
    request.context["timestamp"] = request.headers["x-amz-date"]
    secret = Credentials(key.access_key_id.reveal(), key.secret_access_key.reveal())
    signer = SigV4Auth(secret, scope.service, scope.region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    names = signer.signed_headers(signer.headers_to_sign(request))
    return (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, "
        f"Signature={signer.signature(text, request)}"
    ).encode()


def _to_sign(headers: Headers) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in headers
        if _is_signed(name.lower())
    ]


def _is_signed(name: bytes) -> bool:
    if name == b"x-amzn-trace-id":
        return False  # load balancers change it
    return name in (b"host", b"content-type", b"accept") or name.startswith(b"x-amz")
