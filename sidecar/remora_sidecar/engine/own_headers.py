"""What an answer's head says of the call that got it."""

from collections.abc import Callable

from remora_sidecar.cache.rules import verdict_field
from remora_sidecar.engine.headers import RawHeaders
from remora_sidecar.engine.observation import Observation


def own_headers(seen: Observation, *, switched_on: bool) -> Callable[[], RawHeaders]:
    """Give what names the fields that Remora adds, asked as the head goes out.

    It knows what is seen of the call, not the call, so that neither holds the other.
    """

    def fields() -> RawHeaders:
        named = [
            (b"remora-call-id", seen.call_id.encode()),
            (b"remora-overhead-ms", b"%.3f" % (seen.overhead_s * 1000)),
        ]
        if seen.cache is not None:
            named.append((b"remora-cache", verdict_field(seen.cache)))
        return named

    return fields if switched_on else list
