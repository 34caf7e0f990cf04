"""Watches a cluster until all of it is known, and says what that cost. Its own process."""

import asyncio
import gc
import json
import sys
import time

import psutil
from prometheus_client import CollectorRegistry

from remora.clock import SystemClock
from remora_operator.cluster.api_server import ApiServer
from remora_operator.cluster.controllers import Controllers
from remora_operator.policies import Answers, PolicyShelf


class NobodyServed:
    def changed(self, uids):
        pass

    def is_connected(self, uid):
        return False


async def main(url):
    shelf, process = PolicyShelf(), psutil.Process()
    async with ApiServer(url) as api:
        controllers = Controllers(
            api,
            shelf,
            Answers(),
            identity="measured",
            namespace="remora-system",
            clock=SystemClock(),
            registry=CollectorRegistry(),
        )
        before, began_s = process.memory_info().rss, time.process_time()
        async with controllers.running(NobodyServed()):
            await controllers.until_ready()
            cpu_s = time.process_time() - began_s
            gc.collect()
            grown = process.memory_info().rss - before
    pods = sum(1 for _ in shelf.pods())
    print(json.dumps({"pods": pods, "grown_mib": grown / 2**20, "cpu_s": cpu_s}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
