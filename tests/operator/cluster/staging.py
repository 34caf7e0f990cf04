"""A cluster to watch: its objects, and time that passes only while nothing else happens."""

import asyncio
from contextlib import suppress

from prometheus_client import CollectorRegistry
from tests.operator.pods import injected, pod

from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_objects import Refused, ResourcePath
from remora.testing.virtual_loop import VirtualTimeLoop
from remora_operator.cluster.api_server import ApiServer
from remora_operator.inject import Namespace

POLICIES = "/apis/remora.dev/v1alpha1/namespaces/team-a/llmpolicies"
DEADLINE_S = 60.0
NANOSECONDS = 1_000_000_000


class LoopClock:
    """The loop's own time, which may be virtual."""

    def now_unix_ns(self):
        return 1_767_225_600 * NANOSECONDS + round(self.monotonic_s() * NANOSECONDS)

    def monotonic_s(self):
        return asyncio.get_running_loop().time()


def in_virtual_time(main):
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


async def until(condition, *, within_s=DEADLINE_S):
    """Wait, in time that is virtual or short, for something to be true."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - nobody tells of it; time is virtual mostly
            await asyncio.sleep(0.1)


class Cluster:
    """An API server, and who speaks to it."""

    def __init__(self, fake, api):  # noqa: D107
        self.fake = fake
        self.api = api
        self.registry = CollectorRegistry()

    def put(self, path, **body):
        return self.fake.put(path, body)

    def put_policy(self, name, spec=None, *, namespace="team-a"):
        """Apply a policy; what its status says stays, as it is a subresource."""
        path = f"{POLICIES.replace('team-a', namespace)}/{name}"
        with suppress(Refused):
            return self.put(path, **custom("LLMPolicy", spec or {}), status=self.status_of(path))
        return self.put(path, **custom("LLMPolicy", spec or {}))

    def put_namespace(self, name, **labels):
        named = {f"remora.dev/{key}": value for key, value in labels.items()}
        return self.put(f"/api/v1/namespaces/{name}", metadata={"labels": named})

    def put_secret(self, name, provider, *, namespace="team-a"):
        return self.put(
            f"/api/v1/namespaces/{namespace}/secrets/{name}",
            metadata={"labels": {"remora.dev/provider": provider} if provider else {}},
            data={"api-key": "dG9wLXNlY3JldA=="},
        )

    def put_pod(self, name, body=None, *, namespace="team-a", phase="Running", **labels):
        body = agent_pod(**labels) if body is None else body
        status = {"phase": phase, "startTime": "2026-01-01T00:00:30Z"}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        return self.put(path, **{**body, "status": status})["metadata"]["uid"]

    def status_of(self, path):
        return self.object(path).get("status") or {}

    def object(self, path):
        return self.fake.objects.get(ResourcePath.parse(path))

    def asked(self, resource, *, watch):
        """The queries of lists or of watches of a resource, in order."""
        found = [q for q in self.fake.asked if q.partition("?")[0].endswith(f"/{resource}")]
        return [query for query in found if ("watch=true" in query) is watch]


class Opened:
    """The cluster, served as long as the context lasts."""

    def __init__(self, **options):  # noqa: D107
        self._options = options

    async def __aenter__(self):
        self._serving = KubernetesApi().serving()
        fake = await self._serving.__aenter__()
        self._api = ApiServer(fake.url, **self._options)
        return Cluster(fake, await self._api.__aenter__())

    async def __aexit__(self, *error):
        await self._api.__aexit__(*error)
        await self._serving.__aexit__(*error)


def custom(kind, spec):
    return {"apiVersion": "remora.dev/v1alpha1", "kind": kind, "spec": spec}


def agent_pod(needs=None, **labels):
    """A pod as injection leaves it."""
    team = Namespace(
        "team-a",
        {"remora.dev/injection": "enabled"},
        **({} if needs is None else {"needs": lambda _: needs}),
    )
    made = injected(pod(metadata={"labels": labels}), team)
    made["metadata"].pop("name")
    return made
