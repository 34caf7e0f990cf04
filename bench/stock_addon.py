"""The addon that makes stock mitmdump do the least of what a sidecar does.

Loaded by `mitmdump -s`. It dials the provider double, parses the JSON of each request and
answer and reads the usage; it records nothing, prices nothing and reports to nobody.
"""

import json
import os

from mitmproxy import ctx, http, proxy

PROVIDER = os.environ["BENCH_PROVIDER"]
"""``host:port`` of the double."""
SERVER_NAME = os.environ["BENCH_SERVER_NAME"]

_host, _, _port = PROVIDER.rpartition(":")


class ReadUsage:
    """Reads the model of each request and the usage of each answer."""

    def __init__(self) -> None:
        """Start counting."""
        self.calls = 0
        self.tokens = 0

    def running(self) -> None:
        """Say where it listens, as the other servers of the bench do."""
        servers = ctx.master.addons.get("proxyserver").servers  # type: ignore[no-untyped-call]  # mitmproxy leaves it untyped
        host, port = next(iter(servers)).listen_addrs[0][:2]
        print(json.dumps({"proxy": f"{host}:{port}"}), flush=True)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Send the request to the double instead.

        Changing the request, not the connection, lets mitmproxy keep its connection to the
        provider alive, as it would without a double.
        """
        host_header = flow.request.host_header
        flow.request.host, flow.request.port = _host, int(_port)
        flow.request.host_header = host_header

    def request(self, flow: http.HTTPFlow) -> None:
        """Parse the question."""
        flow.metadata["model"] = json.loads(flow.request.content or b"{}").get("model")

    def server_connect(self, data: proxy.server_hooks.ServerConnectionHookData) -> None:
        """Ask the double for the provider's name."""
        data.server.sni = SERVER_NAME

    def response(self, flow: http.HTTPFlow) -> None:
        """Parse the answer and add up its tokens."""
        if flow.response is None or "json" not in flow.response.headers.get("content-type", ""):
            return
        usage = json.loads(flow.response.content or b"{}").get("usage") or {}
        self.calls += 1
        self.tokens += usage.get("total_tokens", 0)


addons = [ReadUsage()]
