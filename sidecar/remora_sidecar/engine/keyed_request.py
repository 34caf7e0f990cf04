"""Requests with the key that policy gives them, or with none; the last look at where they go."""

from dataclasses import replace

from remora.policy.limits import Credential
from remora.providers import AuthScheme, Provider
from remora.providers.hosts import normalized_host
from remora_sidecar.engine.headers import end_to_end
from remora_sidecar.engine.keys import Key, KeyMissing, may_carry
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.signing import ANTHROPIC_ON_AWS, scope_of, signed
from remora_sidecar.engine.upstream import Endpoint
from remora_sidecar.model.authority_form import split_authority
from remora_sidecar.policy.key_carriers import scheme_for, with_key, without_keys


def keyed(
    outgoing: Outgoing,
    credential: Credential,
    provider: Provider,
    key: Key,
    *,
    dialect: str,
    now_unix_ns: int,
) -> Outgoing | KeyMissing:
    """Put a key in place of all that the agent sent.

    Args:
        outgoing: The request as it would go out, its ``Host`` included.
        credential: Whose key it is.
        provider: Whom the request goes to.
        key: As `Keys.find` gave it for this credential and provider.
        dialect: Name of the call's.
        now_unix_ns: Time of the signature, where there is one.

    Returns:
        The request with the key, or why it may not carry it; then nothing must be sent.
    """
    if (problem := _refusal(outgoing, credential, provider, key)) is not None:
        return KeyMissing(problem)
    if key.aws is not None:
        sent = signed(outgoing, key.aws, now_unix_ns)
        if isinstance(sent, str):
            return KeyMissing(f"the request to {provider.name!r} can't carry its key: {sent}")
        return sent
    scheme = scheme_for(provider, dialect)
    if scheme is AuthScheme.SIGV4:
        scheme = _scheme_of_api_key(outgoing.endpoint.host)
    # Hop-by-hop fields go first: the agent's Connection could name the field of the key.
    headers, target = with_key(
        end_to_end(outgoing.headers), outgoing.target, scheme, key.text.reveal()
    )
    return replace(outgoing, headers=headers, target=target)


def unkeyed(outgoing: Outgoing) -> Outgoing:
    """Take out every key that the agent sent."""
    headers, target = without_keys(outgoing.headers, outgoing.target)
    return replace(outgoing, headers=headers, target=target)


def _refusal(
    outgoing: Outgoing, credential: Credential, provider: Provider, key: Key
) -> str | None:
    if (problem := may_carry(credential, provider, outgoing.endpoint)) is not None:
        return problem
    if key.provider != provider.name:
        return f"the key of {key.provider!r} is not for {provider.name!r}"
    if outgoing.method.upper() == "TRACE":
        return "the answer to TRACE would show the key to the agent"
    if not _names_its_host(outgoing):
        return f"its Host is not {outgoing.endpoint.host!r}: a front of many could pass the key on"
    return None


def _names_its_host(outgoing: Outgoing) -> bool:
    host = outgoing.endpoint.host
    named = [value.decode("latin-1") for name, value in outgoing.headers if name.lower() == b"host"]
    return all(value == host or _is_host(value, outgoing.endpoint) for value in named)


def _is_host(value: str, endpoint: Endpoint) -> bool:
    authority = split_authority(value.strip(), endpoint.port)
    return authority is not None and normalized_host(authority[0]) == normalized_host(endpoint.host)


def _scheme_of_api_key(host: str) -> AuthScheme:
    """How services that take signed requests take keys that sign nothing."""
    is_anthropic = scope_of(host).service == ANTHROPIC_ON_AWS
    return AuthScheme.X_API_KEY if is_anthropic else AuthScheme.BEARER
