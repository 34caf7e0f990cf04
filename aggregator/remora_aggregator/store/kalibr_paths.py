"""Paths that Kalibr's clients registered, and what they set of goals beside learning's settings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pydantic import TypeAdapter

from remora.errors import BadRequest
from remora_aggregator.signals.kalibr_paths import Path
from remora_aggregator.store.kalibr_table import KalibrTable, Run
from remora_aggregator.store.port import Row

MOST_PATHS: Final = 200
"""Of one goal."""
MOST_LISTED: Final = 10_000

_DOCUMENT: Final = TypeAdapter(Path)
_PUT: Final = (
    "insert into kalibr_paths (namespace, path_id, goal, created_unix_ns, document) "
    "values (?, ?, ?, ?, ?) on conflict (namespace, path_id) do update "
    "set document = excluded.document"
)
_ONE: Final = "select document from kalibr_paths where namespace = ? and path_id = ?"
_COUNT: Final = "select count(*) from kalibr_paths where namespace = ? and goal = ?"
_LIST: Final = (
    "select document from kalibr_paths where namespace = ? {} "
    "order by goal, created_unix_ns, path_id limit ?"
)
_PUT_SETTING: Final = (
    "insert into kalibr_settings (namespace, goal, explores_at_high_risk) values (?, ?, ?) "
    "on conflict (namespace, goal) do update "
    "set explores_at_high_risk = excluded.explores_at_high_risk"
)


class KalibrPaths(KalibrTable):
    """Keeps paths by namespace."""

    async def register(
        self, namespace: str, path: Path, now_unix_ns: int, *, enables: bool = False
    ) -> Path:
        """Register a path; one that is known keeps its age, and stays disabled if it is.

        Args:
            namespace: Whose.
            path: As it is asked for.
            now_unix_ns: The time.
            enables: Whether to enable it again.

        Raises:
            BadRequest: The goal has too many (status 409).
        """

        def work(run: Run) -> Path:
            rows = run(_ONE, namespace, path.path_id)
            known = _path(rows[0]) if rows else None
            if known is None:
                ((count,),) = run(_COUNT, namespace, path.goal)
                if int(count or 0) >= MOST_PATHS:
                    text = f"goal {path.goal!r} has {MOST_PATHS} paths, as many as it may"
                    raise BadRequest(text, status=409, code="too_many_paths")
                kept = replace(path, created_unix_ns=now_unix_ns, updated_unix_ns=now_unix_ns)
            else:
                kept = replace(known, risk=path.risk, is_enabled=known.is_enabled or enables)
                if kept == known:
                    return known
                kept = replace(kept, updated_unix_ns=now_unix_ns)
            _put(run, namespace, kept)
            return kept

        return await self._write(work)

    async def disable(self, namespace: str, path_id: str, now_unix_ns: int) -> Path | None:
        """Have a path chosen no more; None: there is none."""

        def work(run: Run) -> Path | None:
            rows = run(_ONE, namespace, path_id)
            if not rows:
                return None
            kept = replace(_path(rows[0]), is_enabled=False, updated_unix_ns=now_unix_ns)
            _put(run, namespace, kept)
            return kept

        return await self._write(work)

    async def paths(self, namespace: str, goal: str = "") -> Sequence[Path]:
        """List paths, disabled ones too, in the order in which they were registered."""
        where, parameters = ("and goal = ?", [goal]) if goal else ("", [])
        rows = await self._rows(_LIST.format(where), namespace, *parameters, MOST_LISTED)
        return [_path(row) for row in rows]

    async def explores_at_high_risk(self, namespace: str, goal: str) -> bool:
        """Tell whether a goal's calls of high risk are decided as others; no by default."""
        rows = await self._rows(
            "select goal, explores_at_high_risk from kalibr_settings "
            "where namespace = ? and goal in (?, '*')",
            namespace, goal,
        )  # fmt: skip
        found = {str(name): bool(value) for name, value in rows}
        return found.get(goal, found.get("*", False))

    async def put_explores_at_high_risk(self, namespace: str, goal: str, *, explores: bool) -> None:
        """Say whether they are."""
        await self._write(lambda run: run(_PUT_SETTING, namespace, goal, int(explores)))


def _put(run: Run, namespace: str, path: Path) -> None:
    document = _DOCUMENT.dump_json(path).decode()
    run(_PUT, namespace, path.path_id, path.goal, path.created_unix_ns, document)


def _path(row: Row) -> Path:
    return _DOCUMENT.validate_json(str(row[0]))
