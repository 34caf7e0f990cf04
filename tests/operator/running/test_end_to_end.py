"""Pods that the webhook has patched, run: their calls arrive, stamped, and they end."""

import asyncio
import signal
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
from tests.operator.running.agents import FOR_EVER, container, curl, pod, sdk
from tests.operator.running.stage import CONFIG, PROVIDER_IP, TEAM

from remora.testing.kubelet import Image, Phase, RunningPod
from remora.testing.kubelet.image import python_folders

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
]

COMPANYS = "/opt/company-roots.pem"
SYSTEMS = "/etc/ssl/certs/ca-certificates.crt"
OWN_CA = "CURL_CA_BUNDLE"
UNTRUSTED = 60
"""curl: the server's certificate is not trusted."""


def saying_code(command):
    """Run a command, say its exit code, and end well."""
    return ["sh", "-c", '"$@"; echo "code $?"', "sh", *command]


JOB = pod(
    "job",
    container("curl", curl("curl")),
    container("sdk", sdk("sdk")),
    container("company", saying_code(curl("x")), env=[{"name": OWN_CA, "value": COMPANYS}]),
    container("system", curl("system"), env=[{"name": OWN_CA, "value": SYSTEMS}]),
    inits=(container("setup", curl("init")),),
)
EXPLICIT = pod(
    "explicit",
    container("curl", curl("curl")),
    container("sdk", sdk("sdk")),
    metadata={"annotations": {"remora.dev/mode": "explicit"}},
)


@dataclass(frozen=True)
class Ran:
    """A pod that is over, and the records of its calls by their labels."""

    pod: RunningPod
    uid: str
    records: dict

    def at(self, container, what):
        """When something happened to a container: its place among all events."""
        return [(e.container, e.what) for e in self.pod.events].index((container, what))


async def _run(cluster, given):
    async with cluster.running(given) as (running, _):
        await running.completed(120)
    stored = [s for s in await cluster.records() if s.pod_uid == running.spec.uid]
    records = {one.record.attribution.data_id: one for one in stored}
    assert len(records) == len(stored)
    return Ran(running, running.spec.uid, records)


@pytest.fixture(scope="module", autouse=True)
def _agents_image(cluster):
    files = {COMPANYS: cluster.public.ca_pem.encode()}
    cluster.images["agent"] = Image(files=files, readable=python_folders())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ran(cluster):
    """Both jobs, over."""
    return await asyncio.gather(_run(cluster, JOB), _run(cluster, EXPLICIT))


@pytest.fixture
def job(ran):
    return ran[0]


@pytest.fixture
def explicit(ran):
    return ran[1]


async def test_a_job_with_a_sidecar_completes(job, explicit):
    for done in (job, explicit):
        assert done.pod.phase is Phase.SUCCEEDED, done.pod.report()
        assert done.pod.state("remora").codes == [0], done.pod.report()


async def test_the_sidecar_runs_from_before_the_users_init_containers_to_after_the_last(job):
    assert job.at("remora-netinit", "ended 0") < job.at("remora", "started")
    assert job.at("remora", "started up") < job.at("setup", "started")
    apps = [one.name for one in job.pod.spec.containers]
    assert job.at("setup", "ended 0") < min(job.at(app, "started") for app in apps)
    assert max(job.at(app, "ended 0") for app in apps) < job.at("remora", "told to end")


async def test_every_call_is_recorded_as_the_pods(job):
    assert set(job.records) == {"init", "curl", "sdk", "system"}, job.pod.report()
    for stored in job.records.values():
        record = stored.record
        assert (stored.namespace, stored.pod_uid) == (TEAM, job.uid)
        assert (record.origin.pod_name, record.origin.mode) == ("job", "transparent")
        assert record.origin.original_destination == f"{PROVIDER_IP}:443"
        assert (record.provider, record.status_code) == ("openai", 200)
        assert record.usage.output_tokens > 0


async def test_explicit_mode_needs_no_rules(explicit):
    assert [one.name for one in explicit.pod.spec.inits] == ["remora"]
    assert set(explicit.records) == {"curl", "sdk"}, explicit.pod.report()
    for stored in explicit.records.values():
        assert (stored.namespace, stored.record.origin.mode) == (TEAM, "explicit")


async def test_a_ca_file_of_the_users_own_stays_and_is_told(job, cluster):
    assert f"code {UNTRUSTED}" in job.pod.log("company"), job.pod.report()
    assert job.pod.state("system").codes == [0]  # what it names is overlaid
    told = (await cluster.admit({**JOB, "metadata": {"name": "told"}})).warnings
    about = [text for text in told if OWN_CA in text]
    assert [text.split(":")[1].strip() for text in about] == [
        "container company",
        "container system",
    ]
    assert all("/run/remora/trust/ca.pem" in text for text in about)


async def test_where_there_are_no_native_sidecars_the_first_container_holds_the_others(cluster):
    """It is a container like others: it ends with them, and delivers what it has."""
    classic = replace(CONFIG, native_sidecars=False)
    given = pod("classic", container("app", FOR_EVER), restartPolicy="Always")
    async with cluster.running(given, classic) as (running, _):
        await running.running(120)
        done = await running.exec("app", curl("classic"))
        assert done.returncode == 0, running.report()
        happened = [(event.container, event.what) for event in running.events]
        assert happened.index(("remora", "started up")) < happened.index(("app", "started"))
        await running.delete()
    [stored] = [s for s in await cluster.records() if s.pod_uid == running.spec.uid]
    assert stored.record.attribution.data_id == "classic"


async def test_a_sidecar_that_is_killed_comes_back_and_loses_nothing(cluster):
    given = pod("killed", container("app", FOR_EVER), restartPolicy="Always")
    async with cluster.running(given) as (running, _):
        await running.running(120)
        before = await running.exec("app", curl("before"))
        running.state("remora").process.signal(signal.SIGKILL)
        await running.until(lambda: running.happened("started up").count("remora") == 2, 120)
        after = await running.exec("app", curl("after"))
        assert (before.returncode, after.returncode) == (0, 0), running.report()
        assert running.state("remora").codes == [128 + signal.SIGKILL]
        assert running.state("app").starts == 1
        await running.delete()
    stored = [s for s in await cluster.records() if s.pod_uid == running.spec.uid]
    assert {s.record.attribution.data_id for s in stored} == {"before", "after"}
    assert len(stored) == 2
