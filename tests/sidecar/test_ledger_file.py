"""What was spent outlives the sidecar."""

import asyncio
import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.policy.limits import Budget
from remora_sidecar.ledger_file import LEDGER_FILE, LedgerFile
from remora_sidecar.policy.amounts import Amount
from remora_sidecar.policy.budget_verdict import BudgetKeys
from remora_sidecar.policy.ledger import Ledger
from remora_sidecar.policy.ledger_row import LedgerRow, read, written

KEYS = BudgetKeys("", "session", "", "pod", "ns")
NOW = 1_767_225_600 * 10**9


def make_ledger():
    budget = Budget.model_validate({"name": "b", "per": "pod", "maxCostUSD": "5", "window": "1d"})
    return Ledger([budget])


def spend(ledger, cost):
    amount = Amount(Decimal(cost), 10)
    ledger.settle(ledger.reserve(KEYS, amount, NOW).reservation, amount)


def spent(ledger):
    [verdict] = ledger.reserve(KEYS, Amount(Decimal(0), 0), NOW).verdicts
    return verdict.spent.cost_usd


def test_what_was_spent_is_known_after_a_restart(tmp_path):
    ledger = make_ledger()
    file = LedgerFile(tmp_path, ledger)
    file.load()
    spend(ledger, "1.25")
    file.write()

    restarted = make_ledger()
    again = LedgerFile(tmp_path, restarted)
    again.load()
    assert spent(restarted) == Decimal("1.25")
    assert (file.problem, again.problem) == ("", "")
    assert (tmp_path / LEDGER_FILE).stat().st_mode & 0o777 == 0o600


def test_a_first_start_is_no_problem(tmp_path):
    file = LedgerFile(tmp_path, make_ledger())
    file.load()
    file.write()

    assert file.problem == ""
    assert not (tmp_path / LEDGER_FILE).exists()


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"", "line 1"),
        (b"\xff\xfe", "decode"),
        (b"{}", "line 1"),
        (b'"remora-ledger-1"\n["b"]', "line 2"),
        (b'"remora-ledger-1"\nnonsense', "line 2"),
        (b'"remora-ledger-1"\n["b","pod",null,"p",0,-1,0,0,0]', "line 2"),
        (b'"remora-ledger-1"\n["b","planet",null,"p",0,1,0,0,0]', "line 2"),
    ],
)
def test_a_damaged_file_counts_as_nothing_spent_and_is_said(tmp_path, caplog, content, where):
    (tmp_path / LEDGER_FILE).write_bytes(content)
    ledger = make_ledger()
    file = LedgerFile(tmp_path, ledger)
    file.load()

    assert spent(ledger) == 0
    assert where in file.problem
    assert "budgets begin with nothing spent" in file.problem
    assert caplog.messages == [file.problem]


def test_a_file_that_can_be_written_again_is_no_problem_any_more(tmp_path):
    (tmp_path / LEDGER_FILE).write_text("nonsense")
    ledger = make_ledger()
    file = LedgerFile(tmp_path, ledger)
    file.load()
    spend(ledger, "1")
    file.write()

    assert file.problem == ""
    assert len(read((tmp_path / LEDGER_FILE).read_text())) == 1


def test_a_full_disk_is_said_once_and_tried_again(tmp_path, caplog):
    folder = tmp_path / "gone"
    ledger = make_ledger()
    file = LedgerFile(folder, ledger)
    spend(ledger, "1")
    file.write()
    file.write()
    assert "can't be written (No such file or directory)" in file.problem
    assert len(caplog.messages) == 1

    folder.mkdir()
    file.write()
    assert file.problem == ""
    assert (folder / LEDGER_FILE).exists()


async def test_it_is_written_once_a_second_and_only_if_something_changed(tmp_path):
    ledger = make_ledger()
    file = LedgerFile(tmp_path, ledger)
    file.load()
    asleep, awake = asyncio.Queue(), asyncio.Queue()

    async def sleep(seconds):
        asleep.put_nowait(seconds)
        await awake.get()

    task = asyncio.get_running_loop().create_task(file.run(sleep))
    seen = []
    for cost in ("1", None, "2"):
        if cost is not None:
            spend(ledger, cost)
        assert await asleep.get() == 1.0
        awake.put_nowait(None)
        assert await asleep.get() == 1.0
        path = tmp_path / LEDGER_FILE
        seen.append((path.stat().st_ino, read(path.read_text())[0].spent_picousd // 10**12))
        asleep.put_nowait(1.0)
    task.cancel()

    assert seen[0] == seen[1]
    assert seen[2][1] == 3


def test_names_and_keys_of_any_spelling_come_back(tmp_path):
    text = "\n".join(written([LedgerRow("b", "task", None, 'a\nb\u2028"', 0, 10**30, 1, 0, 0)]))

    assert read(text)[0].key == 'a\nb\u2028"'
    assert read(text)[0].spent_picousd == 10**30


@given(
    rows=st.lists(
        st.builds(
            LedgerRow,
            st.text(),
            st.sampled_from(["task", "session", "agent", "pod", "namespace"]),
            st.none() | st.integers(1000, 10**12),
            st.text(),
            st.integers(0, 10**12),
            *[st.integers(0, 10**24)] * 4,
        )
    )
)
def test_rows_come_back_as_they_were(rows):
    assert read("\n".join(written(rows))) == rows


@given(text=st.text() | st.text().map(lambda text: json.dumps("remora-ledger-1") + "\n" + text))
def test_any_text_is_read_or_refused(text):
    with suppress(ValueError):
        assert all(isinstance(row, LedgerRow) for row in read(text))
