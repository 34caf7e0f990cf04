"""`remora signal`: what is sent where, and what is told of it."""

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.cli.asking import run
from tests.sdk.client.learning_double import NOW_NS, learning_double

from remora.cli.signal_line import WORDS, read_line, signal_of
from remora.cli.signal_table import sent_json, signal_json
from remora.client.signal import Sent, stored_signal_of
from remora.feedback.reporters import reporter_of
from remora.learning.evidence import Source
from remora.learning.signals import MEANINGS
from remora_proto.v1 import signals_pb2 as pb

ONE, TWO, THREE = (f"{number:032x}" for number in (1, 2, 3))
PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
STORED = pb.StoredSignal(
    signal=pb.Signal(
        signal_id="s", call_id=ONE, kind="user_rejected", source=pb.SIGNAL_SOURCE_EXPLICIT,
        strength=0.0, confidence=1.0, at_unix_nano=NOW_NS, reporter="r", dimension="tone",
        failure_category="timeout", goal="g", session_id="sess", text="no",
    ),
    namespace="team-a", received_unix_nano=NOW_NS, state=pb.StoredSignal.STATE_COUNTED,
    arm="openai/small",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch, tmp_path):
    for name in ("REMORA_AGGREGATOR", "REMORA_GATEWAY_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REMORA_DATA_DIR", str(tmp_path))


@pytest.fixture
def double(monkeypatch):
    with learning_double(stored=[STORED] * 3) as double:
        monkeypatch.setenv("REMORA_AGGREGATOR", double.address)
        yield double


def given_input(monkeypatch, *lines):
    content = "".join(f"{line}\n" for line in lines).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def sent(double):
    return [signal for request in double.of(pb.SendSignalsRequest) for signal in request.signals]


@pytest.mark.parametrize(("word", "kind"), [*WORDS.items(), ("retry", "retry")])
def test_a_word_says_what_became_of_an_answer(double, word, kind):
    ended = run("signal", ONE, word)
    assert ended.code == 0
    assert ended.err.startswith(f"1 signal kept by the aggregator at {double.address}")
    (signal,) = sent(double)
    assert (signal.call_id, signal.kind, len(signal.signal_id)) == (ONE, kind, 32)
    assert not signal.HasField("strength")


def test_every_word_is_a_kind_that_is_known():
    assert set(WORDS.values()) <= set(MEANINGS)


def test_options_say_more(double):
    options = {
        "--score": "0.25", "--confidence": "0.5", "--user": "ann@example.org",
        "--category": "timeout", "--dimension": "tone", "--goal": "g", "--session": "sess",
        "--id": "mine", "--source": "classified", "--namespace": "team-a",
    }  # fmt: skip
    pairs = [text for pair in options.items() for text in pair]
    assert run("signal", *pairs, ONE, "rejected").code == 0
    (request,) = double.asked
    assert request.namespace == "team-a"
    assert request.signals[0] == pb.Signal(
        signal_id="mine", call_id=ONE, kind="user_rejected", source=pb.SIGNAL_SOURCE_CLASSIFIED,
        strength=0.25, confidence=0.5, reporter=reporter_of("ann@example.org"), dimension="tone",
        failure_category="timeout", goal="g", session_id="sess",
    )  # fmt: skip


def test_several_calls_are_told_of_at_once(double):
    assert run("signal", ONE, TWO, "accepted").code == 0
    signals = sent(double)
    assert [signal.call_id for signal in signals] == [ONE, TWO]
    assert len({signal.signal_id for signal in signals}) == 2


def test_a_uuid_is_a_call_id_as_well(double):
    assert run("signal", "018F0000-0000-7000-8000-000000000001", "accepted").code == 0
    assert sent(double)[0].call_id == "018f0000000070008000000000000001"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Missing argument"),
        ([ONE], "say what became of it"),
        (["abc", "accepted"], "call_id: it is 32 hex digits"),
        ([ONE, "mine"], "'mine' is none that Remora knows; say how good it was"),
        ([ONE, "accepted", "--score", "2"], "--score"),
        ([ONE, "rejected", "--category", "bored"], "failure_category: give one of timeout"),
        ([ONE, TWO, "accepted", "--id", "x"], "name one CALL_ID"),
        (["-", "accepted", "rejected"], "after - comes KIND, or nothing"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_said_and_nothing_is_sent(double, arguments, told):
    ended = run("signal", *arguments)
    assert (ended.code, double.asked) == (2, [])
    assert told in ended.err


def test_a_kind_of_ones_own_needs_how_good_it_was(double):
    assert run("signal", ONE, "thumbs", "--score", "0.9").code == 0
    (signal,) = sent(double)
    assert (signal.kind, signal.source, signal.strength) == ("thumbs", Source.EXPLICIT, 0.9)


def test_lines_of_standard_input_are_signals(double, monkeypatch):
    given_input(
        monkeypatch,
        json.dumps({"call_id": ONE, "kind": "rejected", "strength": 0.5, "user": None}),
        "",
        json.dumps({"call_id": TWO, "kind": "retry", "goal": "other"}),
    )
    assert run("signal", "-", "--goal", "usual").code == 0
    assert [(one.call_id, one.kind, one.goal) for one in sent(double)] == [
        (ONE, "user_rejected", "usual"),
        (TWO, "retry", "other"),
    ]


def test_call_ids_alone_take_the_kind_that_is_given(double, monkeypatch):
    given_input(monkeypatch, ONE, TWO)
    assert run("signal", "-", "accepted").code == 0
    assert [(one.call_id, one.kind) for one in sent(double)] == [
        (ONE, "user_accepted"), (TWO, "user_accepted"),
    ]  # fmt: skip


def test_lines_that_are_no_signals_are_counted_and_the_others_sent(double, monkeypatch):
    given_input(
        monkeypatch,
        ONE,
        '{"call_id": "x"}',
        json.dumps({"call_id": TWO, "dimension": "bad"}),
        "{",
        json.dumps({"call_id": THREE, "colour": 1, "signal_id": "again"}),
        json.dumps({"call_id": THREE, "signal_id": "again"}),
    )
    ended = run("signal", "-", "accepted", "--json")
    assert ended.code == 1
    told = json.loads(ended.out)
    assert (told["accepted"], told["known"]) == (2, 1)
    assert [(one["position"], one["reason"]) for one in told["refused"]] == [
        (1, "call_id: it is 32 hex digits, or a UUID"),
        (2, "no such dimension"),
        (3, "is no JSON object"),
        (4, "colour: Extra inputs are not permitted"),
    ]
    assert "remora signal: number 2: call_id" in ended.err


def test_many_lines_go_in_batches_and_keep_their_numbers(double, monkeypatch):
    given_input(monkeypatch, *[ONE] * 1_500, "x")
    ended = run("signal", "-", "accepted", "--json")
    assert [len(request.signals) for request in double.asked] == [1_000, 500]
    assert json.loads(ended.out)["refused"][0]["position"] == 1_500


def test_it_is_said_how_far_it_came_when_the_aggregator_goes(double, monkeypatch):
    double.fail_after = 1
    given_input(monkeypatch, *[ONE] * 1_500)
    ended = run("signal", "-", "accepted")
    assert ended.code == 3
    assert "the first 1,000 were sent before" in ended.err


def test_signals_that_were_listed_can_be_sent_on(double, monkeypatch):
    listed = run("signal", "list", "--json").out.splitlines()
    given_input(monkeypatch, listed[0])
    assert run("signal", "-").code == 0
    assert sent(double) == [STORED.signal]


def test_a_signal_that_says_when_it_arose_has_one_id_for_good():
    at = {"call_id": ONE, "kind": "retry", "at": "2026-11-01T12:00:00Z"}
    ids = [signal_of(at, made_up).signal_id for made_up in ("x", "y")]
    assert ids[0] == ids[1] != signal_of({**at, "at": "2026-11-01T12:00:01Z"}, "x").signal_id
    assert signal_of({"call_id": ONE, "kind": "retry"}, "x").signal_id == "x"


def test_the_list_says_what_counts(double):
    ended = run("signal", "list", "-n", "2")
    head, first, *_ = ended.out.splitlines()
    assert head.split()[:4] == ["came", "call", "kind", "strength"]
    assert first.split()[2:7] == [ONE, "user_rejected", "0.00", "1.00", "counted"]
    assert len(ended.out.splitlines()) == 3


def test_the_list_is_asked_for_as_the_options_say(double):
    options = ["--call", ONE, "--session", "s", "--goal", "g", "--kind", "rejected"]
    times = ["--since", "2026-11-01T00:00Z", "--until", "2026-11-02T00:00Z"]
    run("signal", "list", *options, *times, "--namespace", "n", "-n", "2")
    assert double.asked == [
        pb.QuerySignalsRequest(
            namespace="n", call_id=ONE, session_id="s", goal="g", kind="user_rejected",
            since_unix_nano=1_793_491_200 * 10**9, until_unix_nano=1_793_577_600 * 10**9, limit=2,
        )
    ]  # fmt: skip


def test_a_list_without_signals_says_so():
    with learning_double() as double:
        ended = run("signal", "list", "--aggregator", double.address)
    assert (ended.code, ended.out) == (0, "")
    assert "has no signal that matches" in ended.err


def test_nobody_there_is_3(monkeypatch):
    with learning_double() as double:
        monkeypatch.setenv("REMORA_AGGREGATOR", double.address)
    assert run("signal", ONE, "accepted").code == 3


class _Sidecar(BaseHTTPRequestHandler):
    """Answers as a sidecar's control listener does."""

    bodies: list[dict] = []  # noqa: RUF012 - of one test
    status = 202

    def do_GET(self):
        self._answer(200, {"ready": True, "mode": "explicit"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append({"path": self.path, **body})
        count = len(body["signals"])
        told = {"accepted": count - 1, "known": 0, "refused": [{"index": 0, "reason": "because"}]}
        self._answer(self.status, told if self.status == 202 else {"error": {"message": "busy"}})

    def _answer(self, status, shown):
        content = json.dumps(shown).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def sidecar(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sidecar)
    thread = Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(_Sidecar, "bodies", [])
    monkeypatch.setattr(_Sidecar, "status", 202)
    monkeypatch.setenv("REMORA_GATEWAY_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        yield _Sidecar
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_where_no_aggregator_is_named_the_sidecar_takes_signals(sidecar, monkeypatch):
    given_input(monkeypatch, *[ONE] * 150)
    ended = run("signal", "-", "mine", "--score", "0", "--user", "ann", "--json")
    told = json.loads(ended.out)
    assert told["where"].startswith("the sidecar at http://127.0.0.1:")
    assert (told["accepted"], [one["position"] for one in told["refused"]]) == (148, [0, 100])
    assert [(body["path"], len(body["signals"])) for body in sidecar.bodies] == [
        ("/v1/signals", 100), ("/v1/signals", 50),
    ]  # fmt: skip
    signal = sidecar.bodies[0]["signals"][0]
    assert signal == {
        "call_id": ONE, "kind": "mine", "strength": 0.0, "source": "explicit",
        "reporter": reporter_of("ann"), "signal_id": signal["signal_id"],
    }  # fmt: skip


def test_a_sidecar_in_the_data_directory_is_found(sidecar, monkeypatch, tmp_path):
    control = run_address()
    monkeypatch.delenv("REMORA_GATEWAY_URL")
    folder = {name: "" for name in ("proxy", "status", "trust_dir", "data_dir")}
    (tmp_path / "addresses.json").write_text(json.dumps({**folder, "control": control}))
    assert "the sidecar at" in run("signal", ONE, "accepted").err
    assert len(sidecar.bodies) == 1


def run_address():
    """Give where the sidecar of the test listens."""
    import os

    return os.environ["REMORA_GATEWAY_URL"].removeprefix("http://")


def test_an_aggregator_that_is_named_goes_before_the_sidecar(sidecar, double):
    assert run("signal", ONE, "accepted").code == 0
    assert (len(sent(double)), sidecar.bodies) == (1, [])


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [(503, 3, "busy"), (404, 3, "takes no signals: it is an older one"), (403, 2, "busy")],
)
def test_a_sidecar_that_takes_none_says_why(sidecar, monkeypatch, status, code, told):
    monkeypatch.setattr(_Sidecar, "status", status)
    ended = run("signal", ONE, "accepted")
    assert (ended.code, told in ended.err) == (code, True)


def read_or_why(line):
    """Read a line; of one that is no signal give why, whatever else went wrong escapes."""
    try:
        return read_line(line, {"kind": "accepted"}, "made-up")
    except ValueError as error:
        return str(error)


@given(st.dictionaries(st.text(max_size=8), st.none() | st.text(max_size=4), max_size=4))
def test_any_object_is_a_signal_or_said_to_be_none(shown):
    assert read_or_why(json.dumps(shown))


@given(st.text(max_size=50))
def test_any_line_is_a_signal_or_said_to_be_none(line):
    assert read_or_why(line)


def test_the_page_names_every_key_and_every_kind():
    page = PAGE.read_text()
    keys = [*signal_json(stored_signal_of(STORED)), *sent_json(Sent(), "x"), "position", "reason"]
    assert [key for key in (*keys, *WORDS, *MEANINGS) if f"`{key}`" not in page] == []
