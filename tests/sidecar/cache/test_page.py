"""docs/cache.md against the code."""

import inspect
import re
from pathlib import Path

import pytest

from remora_sidecar.cache import rules
from remora_sidecar.cache.entry import MAX_PLAIN_BYTES
from remora_sidecar.cache.rules import MAX_BODY_BYTES, OPERATIONS

PAGE = (Path(__file__).parents[3] / "docs" / "cache.md").read_text("utf-8")


def test_every_operation_that_is_cached_is_on_the_page():
    row = next(line for line in PAGE.splitlines() if "`chat`" in line)

    assert set(re.findall(r"`(\w+)`", row)) == OPERATIONS


@pytest.mark.parametrize(
    "function", [rules._never, rules._directed, rules._is_stateful, rules.after]
)
def test_every_reason_is_on_the_page(function):
    said = set(re.findall(r'return "([a-z-]+)"', inspect.getsource(function)))

    assert [reason for reason in said if f"`{reason}`" not in PAGE] == []


def test_every_body_that_may_be_kept_can_be_written():
    assert "8 MiB" in PAGE
    assert 8 * 1024 * 1024 == MAX_BODY_BYTES < MAX_PLAIN_BYTES


def test_the_example_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {})  # noqa: S102 - the page's own

    assert (tmp_path / "answers").is_dir()
