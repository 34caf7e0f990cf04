"""Sessions as the control API takes and shows them."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from remora_sidecar.control.session_view import NewSession, session_view
from remora_sidecar.engine.sessions import ModelTotals, Session


def test_a_fresh_session_shows_what_it_was_opened_with() -> None:
    assert session_view(Session("sess_1", 7, data_id="d", task_id="t", goal="g")) == {
        "session_id": "sess_1",
        "data_id": "d",
        "combo_id": None,
        "agent_id": None,
        "task_id": "t",
        "goal": "g",
        "created_unix_ns": 7,
        "ended": False,
        "in_flight": 0,
        "models": {},
    }


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        pytest.param(None, None, id="unknown is null"),
        pytest.param(Decimal(0), "0", id="nothing is nothing"),
        pytest.param(Decimal("1E-7"), "0.0000001", id="no exponent"),
        pytest.param(Decimal("12.3400"), "12.3400", id="as it was counted"),
    ],
)
def test_money_is_a_decimal_string_or_null(cost, shown) -> None:
    session = Session("sess_1", 7, totals={"gpt-4o": ModelTotals(calls=1, cost_usd=cost)})

    assert session_view(session)["models"]["gpt-4o"]["cost_usd"] == shown


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no json"),
        pytest.param("[]", id="no object"),
        pytest.param('{"data": "x"}', id="an unknown field"),
        pytest.param('{"task_id": 5}', id="a number"),
        pytest.param('{"task_id": "%s"}' % ("x" * 257), id="too long"),
    ],
)
def test_what_is_no_new_session_is_refused(text) -> None:
    with pytest.raises(ValidationError):
        NewSession.model_validate_json(text)
