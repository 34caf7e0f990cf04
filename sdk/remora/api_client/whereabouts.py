"""Where a client's calls go, and as whose: the sidecar that is named, or the one found here."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from remora.errors import ConfigError, Problem
from remora.local_sidecar.finding import current_environment
from remora.local_sidecar.nearest import nearest_sidecar
from remora.tracker.active import SESSION_FIELD, active_session

BASE_PATH: Final = "/v1"
_SESSION_PREFIX: Final = "sess_"
_NOBODYS: Final = ("kr-", "kr_")
"""Keys that no provider takes: a session says more of whose call it is."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call goes.

    Attributes:
        url: The base, ``/v1`` included.
        session_id: That the call belongs to; empty: the default one.
    """

    url: str
    session_id: str = field(default="", repr=False)


class Whereabouts:
    """Finds the sidecar; what was found is kept until it is forgotten."""

    def __init__(self, base_url: str | None, api_key: str | None) -> None:
        """Take what the program named, if anything.

        Raises:
            ConfigError: The base URL is none.
        """
        self._base_url = None if base_url is None else _checked(base_url)
        self._api_key = api_key or ""
        self._found: Place | None = None

    def find(self) -> Place:
        """Find the sidecar that the running code's calls go to.

        Raises:
            ConfigError: What the environment names can't be used.
            Unavailable: There is none.
        """
        if (tracked := self._tracked()) is not None:
            return tracked
        if self._base_url is not None:
            return Place(self._base_url)
        found = self._found
        if found is None:
            nearest = nearest_sidecar(current_environment())
            found = self._found = Place(nearest.url + BASE_PATH, nearest.session_id)
        return found

    def forget(self) -> None:
        """Look anew for the next call: the sidecar that was found does not answer."""
        self._found = None

    def headers(self, place: Place) -> dict[str, str]:
        """Say whose a call is: a key that a provider takes stands beside the session."""
        key, session_id = self._api_key, place.session_id
        if not session_id or key.startswith(_SESSION_PREFIX):
            return {"Authorization": f"Bearer {key}"} if key else {}
        if not key or key.startswith(_NOBODYS):
            return {"Authorization": f"Bearer {session_id}"}
        return {"Authorization": f"Bearer {key}", SESSION_FIELD: session_id}

    def _tracked(self) -> Place | None:
        """Give the place of a tracker's session, unless another sidecar is named."""
        session = active_session.get()
        if session is None or not session.sidecar.control_url:
            return None
        url = session.sidecar.control_url.rstrip("/") + BASE_PATH
        if self._base_url is not None and _root(self._base_url) != _root(url):
            return None
        return Place(self._base_url or url, session.session_id)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_url = is_url and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        what = "should be an http:// or https:// URL, such as http://127.0.0.1:15080/v1"
        raise ConfigError([Problem("base_url", what)])
    return _with_path(url)


def _with_path(url: str) -> str:
    """Add the path of the API to a URL that has none."""
    bare = url.rstrip("/")
    return bare if urlsplit(bare).path else bare + BASE_PATH


def _root(url: str) -> str:
    return urlsplit(url).netloc.lower()
