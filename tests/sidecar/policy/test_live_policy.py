"""How policies get into force, one after the other, and what a restart makes of them."""

import asyncio
import hashlib
import logging

import pytest

from remora.client.target import AggregatorTarget
from remora.errors import ConfigError
from remora.policy import effective_from_canonical
from remora_sidecar.last_policy import LAST_POLICY_FILE, LastPolicy
from remora_sidecar.live_policy import NO_MORE_CHANGES, NO_POLICY_YET, LivePolicy
from remora_sidecar.policy import snapshot_from_effective
from remora_sidecar.policy_files import LOOKS_AT_REST, PolicyFiles
from remora_sidecar.policy_service import PodHints, PolicyWatch
from remora_sidecar.settings import SidecarSettings

GOOD = (
    "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\n"
    "metadata: {name: good}\nspec: {capture: full}\n"
)
BAD = GOOD.replace("full", "everything")


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def from_files(tmp_path, file):
    def start():
        settings = SidecarSettings(data_dir=tmp_path, policy=file)
        files = PolicyFiles(settings)
        return LivePolicy(files, LastPolicy(tmp_path, files.origin)), files

    return start


@pytest.fixture
def from_operator(tmp_path):
    def start():
        watch = PolicyWatch(AggregatorTarget("unix:/nowhere"), PodHints("n", "p", "u", "v"))
        return LivePolicy(watch, LastPolicy(tmp_path, watch.origin)), watch

    return start


class InForce:
    """What the engine would enforce."""

    def __init__(self):  # noqa: D107
        self.names = []

    async def put(self, snapshot):
        self.names.append(snapshot.name)


def _version(document):
    return hashlib.sha256(document).hexdigest()


def _settled(files):
    for _ in range(LOOKS_AT_REST):
        assert files.changed() is None
    return files.changed()


def test_a_sidecar_starts_with_its_files(from_files):
    live, _ = from_files()
    assert live.at_start().name == live.name == "good"
    assert (live.origin, live.problems, live.changes_total) == ("files", (), 1)


def test_without_any_policy_the_default_applies_and_is_not_kept(tmp_path):
    live = LivePolicy(PolicyFiles(SidecarSettings(data_dir=tmp_path)), LastPolicy(tmp_path, "f"))
    assert live.at_start().name == "default"
    assert live.origin == "default"
    assert not (tmp_path / LAST_POLICY_FILE).exists()


def test_a_first_start_with_a_bad_file_fails(from_files, file):
    file.write_text(BAD)
    live, files = from_files()
    with pytest.raises(ConfigError, match=r"spec\.capture"):
        live.at_start()
    assert files.problem == ""


@pytest.mark.parametrize(
    "spoil", [lambda file: file.write_text(BAD), lambda file: file.unlink()], ids=["bad", "gone"]
)
async def test_a_restart_with_a_bad_file_goes_on_with_the_last_good_policy_and_says_so(
    from_files, file, caplog, spoil
):
    from_files()[0].at_start()
    live, files = from_files()
    spoil(file)
    with caplog.at_level(logging.WARNING):
        snapshot = live.at_start()
    assert (snapshot.name, snapshot.capture) == ("good", "full")
    view = live.view(snapshot)
    assert (view["origin"], view["version"]) == ("last good", snapshot.version)
    assert "the last good one stays" in view["problems"][0]
    assert "last good policy of an earlier run: good" in caplog.text

    file.write_text(GOOD.replace("good", "mended"))
    await live.take(_settled(files))
    assert (live.name, live.origin, live.problems) == ("mended", "files", ())


def test_a_restart_with_an_empty_file_that_was_never_loaded_lifts_no_rule(from_files, file):
    from_files()[0].at_start()
    file.write_text(BAD)
    live, files = from_files()
    live.at_start()
    file.write_text("")
    assert _settled(files) is None
    assert "no document is left" in files.problem


def test_a_damaged_last_policy_does_not_hide_what_is_wrong_with_the_file(
    from_files, file, tmp_path, caplog
):
    from_files()[0].at_start()
    (tmp_path / LAST_POLICY_FILE).write_bytes(b"noise")
    file.write_text(BAD)
    with caplog.at_level(logging.WARNING), pytest.raises(ConfigError, match=r"spec\.capture"):
        from_files()[0].at_start()
    assert "can't be used" in caplog.text


async def test_the_operators_first_policy_is_waited_for_and_the_wait_is_said(
    from_operator, document
):
    live, _ = from_operator()
    assert live.at_start() is None
    waiting = asyncio.get_running_loop().create_task(live.first())
    await asyncio.sleep(0)
    assert live.problems[0] == NO_POLICY_YET
    sent = document("sent")
    await live.take_document(sent, _version(sent))
    assert (await waiting).name == "sent"
    assert NO_POLICY_YET not in live.problems
    assert live.origin == "operator"


async def _ran(live, document):
    """Let a sidecar take a document and stop."""
    running = asyncio.get_running_loop().create_task(live.run())
    await live.take_document(document, _version(document))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_while_the_operator_is_away_a_restart_has_the_last_good_policy(
    from_operator, document
):
    sent = document("sent")
    await _ran(from_operator()[0], sent)
    live, _ = from_operator()
    assert live.at_start().name == "sent"
    assert live.origin == "last good"
    await live.take_document(sent, _version(sent))
    live.confirmed()
    assert (live.origin, live.changes_total) == ("operator", 1)


async def test_files_are_not_replaced_by_what_an_operator_once_sent(
    from_operator, from_files, file, document
):
    await _ran(from_operator()[0], document("sent"))
    file.write_text(BAD)
    with pytest.raises(ConfigError):
        from_files()[0].at_start()


async def test_a_refused_document_changes_nothing(from_operator, document):
    live, _ = from_operator()
    engine = InForce()
    sent = document("sent")
    await live.take_document(sent, _version(sent))
    await live.attach(engine.put, await live.first())
    bad = sent.replace(b'"sent"', b'"SENT"')
    with pytest.raises(ConfigError, match=r"policy\.metadata\.name"):
        await live.take_document(bad, _version(bad))
    assert (live.name, engine.names) == ("sent", [])


async def test_what_came_while_the_sidecar_was_built_is_put_in_force(from_operator, document):
    live, _ = from_operator()
    engine = InForce()
    documents = [document(name) for name in ("first", "second", "third")]
    await live.take_document(documents[0], _version(documents[0]))
    started_with = await live.first()
    await live.take_document(documents[1], _version(documents[1]))
    await live.attach(engine.put, started_with)
    assert engine.names == ["second"]
    await live.take_document(documents[2], _version(documents[2]))
    assert engine.names == ["second", "third"]


async def test_policies_reach_the_engine_in_the_order_in_which_they_came(from_operator, document):
    live, _ = from_operator()
    documents = [document(name) for name in ("first", "second", "third")]
    await live.take_document(documents[0], _version(documents[0]))
    started_with = await live.first()
    await live.take_document(documents[1], _version(documents[1]))
    names, gate = [], asyncio.Event()

    async def put(snapshot):
        if not names:
            await gate.wait()
        names.append(snapshot.name)

    third = snapshot_from_effective(effective_from_canonical(documents[2]))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(live.attach(put, started_with))
        await asyncio.sleep(0)
        group.create_task(live.take(third))
        await asyncio.sleep(0)
        assert live.name == "second"
        gate.set()
    assert (names, live.name) == (["second", "third"], "third")


async def test_what_the_engine_can_not_take_is_not_said_to_be_in_force(from_operator, document):
    live, _ = from_operator()
    sent = document("sent")
    await live.take_document(sent, _version(sent))

    async def fail(snapshot):
        raise RuntimeError("a library is missing")

    await live.attach(fail, await live.first())
    other = document("other")
    with pytest.raises(RuntimeError):
        await live.take_document(other, _version(other))
    assert live.name == "sent"


async def test_of_a_burst_of_changes_the_last_is_kept(from_operator, document):
    live, _ = from_operator()
    running = asyncio.get_running_loop().create_task(live.run())
    for number in range(50):
        sent = document(f"p{number}")
        await live.take_document(sent, _version(sent))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert from_operator()[0].at_start().name == "p49"


async def test_a_sidecar_that_takes_no_more_changes_says_so(from_files, file, monkeypatch):
    monkeypatch.setattr("remora_sidecar.policy_files.LOOK_EVERY_S", 0)
    live, _ = from_files()

    async def fail(snapshot):
        raise RuntimeError("a library is missing")

    await live.attach(fail, live.at_start())
    file.write_text(GOOD.replace("good", "other"))
    with pytest.raises(ExceptionGroup):
        await live.run()
    assert (live.name, live.problems) == ("good", (NO_MORE_CHANGES,))
