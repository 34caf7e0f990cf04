"""Who asks: by a static token, a ServiceAccount's, a client certificate, or as anybody here."""

import re
from typing import Protocol

from remora.errors import BadRequest
from remora_aggregator.service.caller import Caller, Role
from remora_aggregator.service.pod_tokens import Account, PodTokens
from remora_aggregator.service.shown import Shown
from remora_aggregator.service.token_file import Grant, TokenFile, granted_namespaces

LOCAL_NAMESPACE = "local"

_OURS = re.compile(r"remora://(?P<namespaces>[^/?#]+)/(?P<role>[a-z]+)/(?P<name>[\w.@:+-]{1,64})")


class Authenticator(Protocol):
    """Says who somebody is, by what it shows."""

    async def caller(self, shown: Shown) -> Caller:
        """Return the caller.

        Raises:
            BadRequest: It is nobody (status 401), or nobody that may come in (403).
            Unavailable: Nobody can tell now.
        """
        ...


class Anyone:
    """For an aggregator on loopback or a Unix socket: everybody is this machine."""

    async def caller(self, shown: Shown) -> Caller:
        """Return the admin of `local`; raises BadRequest (401) for who calls from elsewhere."""
        if not shown.is_on_this_machine:
            raise BadRequest("without tokens only this machine is served", status=401)
        return Caller(LOCAL_NAMESPACE, Role.ADMIN, LOCAL_NAMESPACE)


class Identities:
    """Knows callers in all the ways that are set up."""

    def __init__(
        self,
        tokens: TokenFile | None = None,
        pods: PodTokens | None = None,
        *,
        certificates: bool = False,
    ) -> None:
        """Take the ways.

        Args:
            tokens: The file of static tokens, and of what those are given who are known otherwise.
            pods: Reviews the tokens of ServiceAccounts.
            certificates: Whether verified client certificates say who somebody is.
        """
        self._tokens = tokens
        self._pods = pods
        self._certificates = certificates

    async def caller(self, shown: Shown) -> Caller:
        """Return the caller: by its token if it shows one, else by its certificate.

        Raises:
            BadRequest: It is nobody (status 401), or nobody that may come in (403).
            Unavailable: The cluster that would know can't be asked.
        """
        if shown.token:
            return await self._by_token(shown)
        if self._certificates and shown.uris:
            return self._by_certificate(shown.uris)
        wanted = "authorization: Bearer TOKEN"
        if self._certificates:
            wanted += ", or a client certificate with a URI that names who it is"
        raise BadRequest(f"a token is needed: {wanted}", status=401, code="no_token")

    async def _by_token(self, shown: Shown) -> Caller:
        if self._tokens and (grant := self._tokens.grant_of_token(shown.token)):
            return grant.caller
        if self._pods is None:
            text = "the token is not one of this aggregator's"
            raise BadRequest(text, status=401, code="unknown_token")
        account = await self._pods.account(shown)
        return _of_account(account, self._grant(account.username))

    def _by_certificate(self, uris: tuple[str, ...]) -> Caller:
        grants = {grant for uri in uris if (grant := self._grant(uri) or _written(uri))}
        if len(grants) == 1:
            return grants.pop().caller
        found = "several URIs that do" if grants else "no URI that does"
        text = f"the client certificate has to say who it is, and has {found}"
        raise BadRequest(text, status=401, code="unknown_certificate")

    def _grant(self, name: str) -> Grant | None:
        return None if self._tokens is None else self._tokens.grant_of_name(name)


def _of_account(account: Account, grant: Grant | None) -> Caller:
    pod = f"{account.pod_name}/{account.pod_uid}" if account.pod_uid else ""
    if grant is None:
        if not pod:
            text = (
                f"the token of {account.username} is bound to no pod, and no line of the token "
                "file says what else it may do"
            )
            raise BadRequest(text, status=403, code="no_pod")
        return Caller(account.namespace, Role.REPORTER, pod, pod_uid=account.pod_uid)
    # A pod writes in its own namespace or not at all, whatever it may look at.
    is_home = grant.namespaces is None or account.namespace in grant.namespaces
    own = account.namespace if is_home and grant.role is not Role.READER else ""
    name = pod if pod and grant.role in (Role.REPORTER, Role.MEMBER) else grant.name
    return Caller(own, grant.role, name, grant.namespaces, account.pod_uid)


def _written(uri: str) -> Grant | None:
    """Read a URI ``remora://NAMESPACES/ROLE/NAME``; None: it is none."""
    match = _OURS.fullmatch(uri)
    if match is None:
        return None
    try:
        role = Role(match["role"])
        return Grant(granted_namespaces(match["namespaces"], role), role, match["name"])
    except ValueError:
        return None
