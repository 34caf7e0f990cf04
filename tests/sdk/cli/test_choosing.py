"""Which calls the filter options choose, and in which order they are listed."""

import json

import pytest
from tests.sdk.cli.asking import asking, record, run

from remora_proto.v1 import records_pb2 as pb

WHO = pb.Attribution(session_id="sess_1", task_id="t1", agent_id="a1", combo_id="c1", data_id="d1")
CALLS = [
    record(1, latency_s=3.0, attribution=WHO, operation="embeddings"),
    record(2, latency_s=1.0, origin=pb.Origin(workload="research", labels={"app": "x"})),
    record(3, latency_s=2.0, response_model="claude-sonnet-4-5", provider="anthropic",
           ttft_s=0.25, request_body=pb.Body(content=b'{"text": "the mighty remora"}')),
    record(4, latency_s=0.5, status_code=500, error=pb.CallError(type="server_error", message="x"),
           cost=pb.Cost(total_usd="1.5")),
]  # fmt: skip


@pytest.fixture
async def remora():
    async with asking(*CALLS) as asked:
        yield asked


def _numbers(ended):
    return [int(json.loads(line)["call_id"], 16) for line in ended.out.splitlines()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--where", "latency_s>=2"], [1, 3]),
        (["--where", "latency_s>=2", "--where", "model~claude-*"], [3]),
        (["--where", "model!~gpt-*"], [3]),
        (["--where", "ttft_s?"], [3]),
        (["--where", "labels.app=x"], [2]),
        (["--where", "error.type=server_error|timeout"], [4]),
        (["--agent", "a1"], [1]),
        (["--combo", "c1"], [1]),
        (["--data", "d1"], [1]),
        (["--operation", "embeddings"], [1]),
        (["--workload", "research"], [2]),
        (["--workload", "research", "--where", "latency_s<1"], []),
        (["--namespace", "local"], [1, 2, 3, 4]),
        (["--text", "mighty remora"], [3]),
        (["--text", "mighty shark"], []),
        (["--errors"], [4]),
        (["--order-by", "latency_s"], [4, 2, 3, 1]),
        (["--order-by", "latency_s", "--most-first", "-n", "2"], [1, 3]),
        (["--order-by", "cost.total_usd", "--most-first", "-n", "1"], [4]),
        (["--order-by", "ttft_s", "-n", "1"], [3]),
        (["-n", "2"], [3, 4]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
async def test_options_choose_and_order_what_is_listed(remora, options, expected):
    ended = await remora("records", "--json", *options)
    assert (ended.code, _numbers(ended), ended.err.count("error")) == (0, expected, 0)


async def test_the_same_options_choose_what_is_summed_up(remora):
    ended = await remora("usage", "--json", "--where", "latency_s>=2", "--by", "provider")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert {row["group"]["provider"]: row["calls"] for row in rows} == {"anthropic": 1, "openai": 1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--where", "latency_s"], "character 10"),
        (["--where", "latency_s>=1|2"], "one value is expected"),
        (["--most-first"], "--most-first needs --order-by"),
        (["--follow", "--order-by", "latency_s"], "yet to come"),
        (["--since", "yesterday"], "neither a span"),
        (["--to", "x.csv"], "x.csv: should end in .jsonl or .parquet"),
        (["--to", "x.jsonl", "--json"], "leave --json out"),
        (["--to", "x.jsonl", "--follow"], "leave --follow out"),
        (["--to", "x.jsonl", "0" * 32], "leave CALL_ID out"),
        (["--to", "/nowhere/x.jsonl"], "there is no folder /nowhere"),
        (["--to", "/dev/null.jsonl/x.jsonl"], "there is no folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_make_no_sense_are_2_and_say_what_would(options, said):
    ended = run("records", *options, "--aggregator", "127.0.0.1:1")
    assert ended.code == 2
    assert said in ended.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--where", "no_such_field=1"], "no field 'no_such_field'"),
        (["--where", "latency_s>=soon"], "compared with a number"),
        (["--order-by", "provider"], "can't be ordered by 'provider'"),
        (["--namespace", "elsewhere"], "local only, not 'elsewhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_what_the_aggregator_refuses_is_2_and_says_why(remora, options, said):
    ended = await remora("records", *options)
    assert ended.code == 2
    assert said in ended.err
