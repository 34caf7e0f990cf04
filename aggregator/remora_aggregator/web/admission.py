"""Which requests are let in before anybody looks at who sends them. Pure.

A page of a stranger in somebody's browser must neither ask this aggregator under a name of its own
(DNS rebinding: `Host`), nor make a browser that is signed in act for it (`Sec-Fetch-Site`,
`Origin`).
Sources: RFC 9110 §7.2 and §15.5.20; W3C Fetch Metadata Request Headers.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from remora_aggregator.web.host_names import host_of, is_loopback
from remora_aggregator.web.problems import ApiProblem

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_OUR_SITES: Final = ("same-origin", "none")
"""`none`: a person typed the address, or opened a bookmark."""


class Admission:
    """Decides by names and by what browsers say of a request."""

    def __init__(self, hosts: Iterable[str]) -> None:
        """Take the names, beside those of loopback, that the aggregator is asked by."""
        self._hosts = frozenset(host_of(host) for host in hosts)

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raise ApiProblem (421) where a request is for another name."""
        given = headers.get("Host", "")
        host = host_of(given)
        if host not in self._hosts and not is_loopback(host):
            detail = f"This aggregator is not asked by the name {given[:80]!r}."
            raise ApiProblem(421, detail, "other-host", where="Host")

    def check_origin(
        self, method: str, headers: Mapping[str, str], scheme: str, *, with_cookie: bool
    ) -> None:
        """Raise ApiProblem (403) where a page of another origin asks.

        Args:
            method: Of the request.
            headers: Of the request.
            scheme: By which it came.
            with_cookie: Whether a cookie alone says who asks.
        """
        if headers.get("Authorization"):
            return  # no page can have that sent across origins unless we allow it
        changes = method not in SAFE_METHODS
        site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
        if site is not None:
            is_visit = headers.get("Sec-Fetch-Mode") == "navigate" and not changes
            is_ours = site in _OUR_SITES or is_visit
        elif origin is not None:
            is_ours = origin.lower() == f"{scheme}://{headers.get('Host', '')}".lower()
        else:
            is_ours = not (changes and with_cookie)
        if not is_ours:
            where = "Sec-Fetch-Site" if site is not None else "Origin"
            remedy = "Ask from the aggregator's own page, or send `Authorization: Bearer TOKEN`."
            detail = "A page of another origin, or nobody knows which, asks this."
            raise ApiProblem(403, detail, "other-origin", where=where, remedy=remedy)
