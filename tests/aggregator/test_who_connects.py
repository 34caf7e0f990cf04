"""The whole aggregator with its settings: who is let in by which of them."""

import subprocess
import sys

import grpc
import pytest

from remora.errors import ConfigError
from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_tokens import KnownToken
from remora_aggregator.settings import read_settings
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

CODE = grpc.StatusCode
TOKEN = "a-token-that-is-long-enough"


def _as(token):
    return (("authorization", f"Bearer {token}"),)


async def _report(stub, token, record, *, pod_uid="u-1"):
    entry = pb.ReportRequest.Entry(sequence=1, record=record)
    hello = pb.ReportRequest.Hello(pod_uid=pod_uid)

    async def requests():
        yield pb.ReportRequest(hello=hello, entries=[entry])

    return [answer async for answer in stub.Report(requests(), metadata=_as(token))]


async def _seen(stub, token):
    query = stub.Query(pb.QueryRequest(), metadata=_as(token))
    return [(one.stored.namespace, one.stored.pod_uid) async for one in query]


async def _code(coroutine):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await coroutine
    return failure.value.code()


@pytest.fixture
async def cluster():
    async with KubernetesApi().serving() as running:
        ours = ("remora-aggregator",)
        running.callers = {"the-aggregators-own"}
        running.tokens |= {
            "pod": KnownToken("team-a", "default", ours, "agent-1", "u-1"),
            "operators": KnownToken("team-a", "default", ("remora-operator",), "agent-1", "u-1"),
            "board": KnownToken("monitoring", "grafana", ours),
            "person": KnownToken("team-a", "default", ours),
        }
        yield running


@pytest.fixture
def kubernetes(cluster, tmp_path):
    own, tokens = tmp_path / "own", tmp_path / "tokens"
    own.write_text("the-aggregators-own\n")
    tokens.write_text(f"{TOKEN} team-b\nsystem:serviceaccount:monitoring:grafana * reader board\n")
    return {
        "kubernetes_api": cluster.url,
        "kubernetes_token_file": own,
        "token_file": tokens,
    }


async def test_pods_people_and_static_tokens_come_in_by_one_door(kubernetes, cluster, make_record):
    async with (
        temporary_aggregator(**kubernetes) as aggregator,
        grpc.aio.insecure_channel(aggregator.address) as channel,
    ):
        stub = pb_grpc.RecordServiceStub(channel)
        for token, record, pod_uid in (("pod", 1, "u-1"), (TOKEN, 2, "vm")):
            answers = await _report(stub, token, make_record(record), pod_uid=pod_uid)
            assert list(answers[-1].acknowledged) == [1]
        assert await _seen(stub, "board") == [("team-a", "u-1"), ("team-b", "vm")]
        assert await _seen(stub, "pod") == [("team-a", "u-1")]
        assert await _seen(stub, TOKEN) == [("team-b", "vm")]
        forged = _report(stub, "pod", make_record(3), pod_uid="u-2")
        assert await _code(forged) is CODE.PERMISSION_DENIED
        assert await _code(_seen(stub, "operators")) is CODE.UNAUTHENTICATED
        assert await _code(_seen(stub, "nobodys")) is CODE.UNAUTHENTICATED
        assert await _code(_seen(stub, "person")) is CODE.PERMISSION_DENIED
        cluster.fails_with = 500
        assert await _seen(stub, "pod") == [("team-a", "u-1")]
        assert await _code(_seen(stub, "somebody-new")) is CODE.UNAVAILABLE


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kubernetes_api": "kubernetes.default.svc"}, "https://host"),
        ({"kubernetes_api": "http://kubernetes.default.svc"}, "https:// is needed"),
        ({"kubernetes_api": "https://x/path"}, "https://host"),
        ({"client_ca": "/ca"}, "needs TLS"),
        ({"listen": "0.0.0.0:1", "kubernetes_api": "https://x"}, "needs TLS"),
        ({"listen": "0.0.0.0:1", "tls_cert": "/c", "tls_key": "/k"}, "tokens"),
        ({"bytes_in_flight": 1}, "BYTES_IN_FLIGHT"),
        ({"queries_per_s": -1}, "QUERIES_PER_S"),
    ],
)
def test_what_does_not_go_together_is_said(settings, said):
    with pytest.raises(ConfigError, match=said):
        read_settings(**settings)


@pytest.mark.parametrize(
    "way", [{"kubernetes_api": "https://x"}, {"client_ca": "/ca"}, {"token_file": "/tokens"}]
)
def test_any_way_of_saying_who_one_is_opens_other_addresses(way):
    assert not read_settings(listen="0.0.0.0:1", tls_cert="/c", tls_key="/k", **way).is_open


async def test_files_that_are_not_mounted_are_named(tmp_path):
    settings = {"kubernetes_api": "https://x", "kubernetes_token_file": tmp_path / "own"}
    with pytest.raises(ConfigError) as refused:
        async with temporary_aggregator(**settings, kubernetes_ca=tmp_path / "ca"):
            pass
    assert [problem.where for problem in refused.value.problems] == [
        "REMORA_AGGREGATOR_KUBERNETES_TOKEN_FILE",
        "REMORA_AGGREGATOR_KUBERNETES_CA",
    ]


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "room"),
    [(300, 912, 12_000, 144), (300, 4_000, 1_000, 1_000), (10, 10, 5, 1)],
    ids=["as far as it goes", "raised", "hardly any"],
)
def test_there_is_room_for_as_many_as_may_have_files_open(soft, hard, wanted, room):
    code = (
        "import resource; from remora_aggregator.descriptors import room_for; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); print(room_for({wanted}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.stdout.strip(), ended.returncode) == (str(room), 0)
    assert ("limit of open files" in ended.stderr) is (room < wanted)
