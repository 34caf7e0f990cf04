"""Which key a request carries, as policy has it: the agent's, policy's own, or none."""

from remora.errors import UpstreamError
from remora.providers import Provider
from remora_sidecar.engine.keyed_request import keyed, unkeyed
from remora_sidecar.engine.keys import KeyMissing, Keys
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.model.exchange import RequestHead
from remora_sidecar.policy.failures import CREDENTIAL_MISSING
from remora_sidecar.policy.key_carriers import with_fingerprint, without_keys
from remora_sidecar.policy.key_plan import KeyPlan


def with_key_of(
    plan: KeyPlan,
    outgoing: Outgoing,
    provider: Provider,
    keys: Keys,
    *,
    dialect: str,
    now_unix_ns: int,
) -> Outgoing:
    """Give the request with the key that it is to carry.

    Raises:
        UpstreamError: Policy names a key that nobody has, or that may not go there.
    """
    if plan.replace is None:
        return unkeyed(outgoing) if plan.strip else outgoing
    key = keys.find(plan.replace, provider)
    if isinstance(key, KeyMissing):
        raise UpstreamError(key.reason, kind=CREDENTIAL_MISSING)
    sent = keyed(outgoing, plan.replace, provider, key, dialect=dialect, now_unix_ns=now_unix_ns)
    if isinstance(sent, KeyMissing):
        raise UpstreamError(sent.reason, kind=CREDENTIAL_MISSING)
    return sent


def head_for_cache(
    plan: KeyPlan, head: RequestHead, provider: Provider, keys: Keys, secret: bytes
) -> RequestHead:
    """Give the head by which answers are kept: what stands for the key that is sent is in it.

    Never sent. Where the key is missing nothing stands for it; the call fails when it is asked.

    Args:
        plan: What becomes of the call's key.
        head: As it goes out, but for the key.
        provider: Whom it goes to.
        keys: Policy's own.
        secret: Makes fingerprints.
    """
    target = f"{head.path}?{head.query}" if head.query else head.path
    if plan.replace is None:
        if not plan.strip:
            return head
        headers, target = without_keys(head.headers, target)
    else:
        key = keys.find(plan.replace, provider)
        stands = "" if isinstance(key, KeyMissing) else key.fingerprint(secret)
        headers, target = with_fingerprint(head.headers, target, stands)
    return head._replace(headers=headers, query=target.partition("?")[2])


def whose_key(plan: KeyPlan) -> str:
    """Name who owns the key that is sent, for receipts."""
    if plan.replace is not None:
        return "policy"
    return "none" if plan.strip else "agent"
