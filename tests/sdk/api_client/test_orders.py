"""What a run is ordered with."""

from decimal import Decimal
from pathlib import Path

import pytest

from remora.api_client.http_calls import written
from remora.api_client.orders import Order
from remora.errors import ConfigError
from remora.workflows import Budget

TEXT = "name: digest\nsteps:\n- {id: a, prompt: x}\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "digest.yaml"
    path.write_text(TEXT)
    return path


def body(*given, **more):
    said = Order(*given, **more).body()
    assert said.pop("idempotency_key")
    return said


def test_a_name_is_sent_as_a_name():
    assert body("research") == {"workflow": "research"}


def test_a_document_is_sent_as_it_is():
    assert body({"name": "x", "steps": []}) == {"workflow": {"name": "x", "steps": []}}


@pytest.mark.parametrize("kind", [str, Path])
def test_a_files_text_is_sent_with_its_name(file, kind):
    assert body(kind(file)) == {"source": {"text": TEXT, "file": "digest.yaml"}}


def test_a_file_needs_no_ending(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file.rename(tmp_path / "digest")
    assert body("digest") == {"source": {"text": TEXT, "file": "digest"}}


@pytest.mark.parametrize("name", ["gone.yaml", "gone.yml", "gone.json", Path("gone")])
def test_a_file_that_is_not_there_is_a_problem(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        body(name)


def test_a_file_that_is_no_text_is_a_problem(file):
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no UTF-8 text"):
        body(file)


def test_money_is_sent_to_its_last_digit():
    sent = written(body("research", {"goal": "x"}, {"max_cost_usd": Decimal("0.10")}))
    assert b'"budget": {"max_cost_usd": "0.10"}' in sent


def test_a_budget_may_be_one_of_the_language():
    said = body("research", budget=Budget(max_cost_usd="0.25", on_exceed="downgrade"))
    assert said["budget"] == {"max_cost_usd": "0.25", "on_exceed": "downgrade"}


def test_an_order_has_one_key_of_its_own_unless_it_is_given():
    assert Order("research").body() != Order("research").body()
    assert Order("research", idempotency_key="k").body()["idempotency_key"] == "k"
