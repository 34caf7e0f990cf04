"""Which goals changed, by numbers that grow with commits."""

from collections.abc import Iterable, Mapping
from typing import Final

from remora_aggregator.signals.ports import GoalKey
from remora_aggregator.store.learning_rows import Rows

_KEY: Final = ("namespace", "goal")
_REST: Final = ("change", "last_ms")
_LATER: Final = (
    "{0} = case when excluded.{0} > {1}.{0} then excluded.{0} else {1}.{0} end"  # the greater one
)


def note_changes(rows: Rows, last_ms: Mapping[GoalKey, int]) -> None:
    """Give goals that changed a new number.

    Args:
        rows: Of the transaction.
        last_ms: When the last of the calls began that changed them; calls for no goal change none.
    """
    changed = {key: at_ms for key, at_ms in last_ms.items() if key.goal}
    if changed:
        number = _next_number(rows)
        values = [(*key, number, at_ms) for key, at_ms in changed.items()]
        rows.put("goal_changes", _KEY, _REST, values, _LATER)


def note_change_of_all(rows: Rows, namespaces: Iterable[str]) -> None:
    """Give all goals of namespaces a new number."""
    number = _next_number(rows)
    for namespace in sorted(namespaces):
        rows.run("update goal_changes set change = ? where namespace = ?", number, namespace)


def _next_number(rows: Rows) -> int:
    sql = "update learning_state set last_change = last_change + 1 returning last_change"
    ((number,),) = rows.run(sql)
    return int(number)  # type: ignore[arg-type]  # a number
