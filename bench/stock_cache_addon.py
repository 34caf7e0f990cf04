"""The addon that makes stock mitmdump answer from memory.

Loaded by `mitmdump -s` behind the usual one. It keeps each answer under a hash of the request's
body and gives it from then on; no credential, model or mode counts, and nothing is recorded.
"""

import hashlib
import sys
from pathlib import Path

from mitmproxy import http

sys.path.insert(0, str(Path(__file__).parent))
from stock_addon import ReadUsage

HIT = "x-bench-cache"


class AnswerFromMemory:
    """Answers what it has seen."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.answers: dict[bytes, tuple[int, bytes, http.Headers]] = {}

    def request(self, flow: http.HTTPFlow) -> None:
        """Answer, where the same was asked before."""
        key = hashlib.sha256(flow.request.content or b"").digest()
        if (known := self.answers.get(key)) is not None:
            flow.response = http.Response.make(*known)
        else:
            flow.metadata["key"] = key

    def response(self, flow: http.HTTPFlow) -> None:
        """Keep what the provider answered."""
        key = flow.metadata.get("key")
        if key is None or flow.response is None or flow.response.status_code != 200:
            return
        headers = flow.response.headers.copy()
        headers[HIT] = "hit"
        self.answers[key] = flow.response.status_code, flow.response.content or b"", headers


addons = [ReadUsage(), AnswerFromMemory()]
