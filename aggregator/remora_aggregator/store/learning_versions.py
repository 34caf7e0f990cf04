"""Router versions and settings in the store's tables."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from remora.learning.versions import History, RouterVersion
from remora_aggregator.signals.ports import Judged, VersionBook
from remora_aggregator.signals.version_document import read_version, written_version
from remora_aggregator.store.facts import Value
from remora_aggregator.store.learning_rows import Rows

HISTORY: Final = "select history from router_histories where namespace = ?"
VERSIONS: Final = "select version, verdict from router_versions where namespace = ? order by number"


def book_of(
    histories: Sequence[Sequence[Value]], versions: Iterable[Sequence[Value]]
) -> VersionBook:
    """Read a namespace's versions of the rows of `HISTORY` and `VERSIONS`."""
    found = [(read_version(str(text)), verdict) for text, verdict in versions]
    verdicts = {
        version.number: _judged(str(verdict)) for version, verdict in found if verdict is not None
    }
    document: Mapping[str, Any] = json.loads(str(histories[0][0])) if histories else {}
    known = tuple(version for version, _ in found)
    steps = tuple(document.get("steps", ()))
    history = History(known, document.get("in_force"), steps)
    return VersionBook(
        history, verdicts, document.get("since_ms", 0), document.get("goes_back", False)
    )


def read_book(rows: Rows, namespace: str) -> VersionBook:
    """Read a namespace's versions."""
    return book_of(rows.run(HISTORY, namespace), rows.run(VERSIONS, namespace))


def write_book(rows: Rows, namespace: str, before: VersionBook, after: VersionBook) -> None:
    """Write what changed of a namespace's versions."""
    history = after.history
    document = {
        "in_force": history.in_force,
        "steps": list(history.steps),
        "since_ms": after.since_ms,
        "goes_back": after.goes_back,
    }
    row = namespace, json.dumps(document)
    rows.put("router_histories", ("namespace",), ("history",), [row])
    old = {version.number: version for version in before.history.versions}
    new = {version.number: version for version in history.versions}
    for number in old.keys() - new.keys():
        sql = "delete from router_versions where namespace = ? and number = ?"
        rows.run(sql, namespace, number)
    rows.put("router_versions", ("namespace", "number"), ("version", "verdict"), [
        (namespace, number, written_version(version), _written(after.verdicts.get(number)))
        for number, version in new.items()
        if _is_other(version, old.get(number), before, after)
    ])  # fmt: skip


def _is_other(
    version: RouterVersion, old: RouterVersion | None, before: VersionBook, after: VersionBook
) -> bool:
    number = version.number
    return version != old or before.verdicts.get(number) != after.verdicts.get(number)


def _written(judged: Judged | None) -> str | None:
    if judged is None:
        return None
    interval = None if judged.interval is None else list(judged.interval)
    return json.dumps([judged.result, judged.reason, judged.advantage, interval])


def _judged(text: str) -> Judged:
    result, reason, advantage, interval = json.loads(text)
    return Judged(
        result, reason, advantage, None if interval is None else (interval[0], interval[1])
    )
