"""Sends the calls of whatever HTTP client runs in this process through the sidecar.

`install_clients` patches clients where they still know the request: pools of httpcore and urllib3,
connectors of aiohttp, connections of `http.client`, and so on. It is called at the first start of
a tracker. The patches stay, and pass everything on as it is where no session is in the context.
What clients are covered, and how, is listed in ``docs/tracker-clients.md``.
"""

from remora.tracker.clients.installation import install_clients

__all__ = ["install_clients"]
