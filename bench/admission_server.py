"""The webhook's server as a process of its own, for `python -m bench.admission`.

Prints one line of JSON when it listens: its address and its root certificate. Stops on SIGTERM.
"""

import asyncio
import json
import signal
import ssl

import trustme
from prometheus_client import CollectorRegistry

from remora.clock import SystemClock
from remora_operator.inject import InjectionConfig, Namespace
from remora_operator.webhook.metrics import WebhookMetrics
from remora_operator.webhook.serving import serving_webhook

NAME = "localhost"
_NAMESPACE = Namespace("bench", {"remora.dev/injection": "enabled"})


async def serve() -> None:
    """Serve until SIGTERM."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME, key_type=trustme.KeyType.ECDSA).configure_cert(tls)
    config, over = InjectionConfig(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with serving_webhook(
        "127.0.0.1:0",
        tls,
        namespace_of=lambda _: _NAMESPACE,
        config_of=lambda: config,
        metrics=WebhookMetrics(CollectorRegistry()),
        clock=SystemClock(),
    ) as address:
        ready = {"address": address, "root": authority.cert_pem.bytes().decode()}
        print(json.dumps(ready), flush=True)
        await over.wait()


if __name__ == "__main__":
    asyncio.run(serve())
