"""Sums, settings and router versions as the services see them: `signals.ports.ScoreStore`."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from remora.clock import Clock
from remora.learning.counts import NOTHING, Counts
from remora.learning.series import Bucket, Series
from remora.learning.settings import DAY_MS, LearningSettings
from remora_aggregator.signals.names import ALL_GOALS
from remora_aggregator.signals.ports import (
    ArmSums,
    DecideVersions,
    GoalChanges,
    GoalKey,
    KnownGoal,
    LogSelection,
    VersionBook,
)
from remora_aggregator.signals.trial import JudgedTrial
from remora_aggregator.signals.version_document import read_settings, written_settings
from remora_aggregator.store import learning_changes
from remora_aggregator.store.facts import Value
from remora_aggregator.store.learning_places import ARM, arm_key, arm_of
from remora_aggregator.store.learning_rows import Rows
from remora_aggregator.store.learning_signal_store import judged_trials
from remora_aggregator.store.learning_sums import SPENT, spent_of
from remora_aggregator.store.learning_trials import TRIAL_COLUMNS, TRIAL_TABLES
from remora_aggregator.store.learning_versions import (
    HISTORY,
    VERSIONS,
    book_of,
    read_book,
    write_book,
)
from remora_aggregator.store.port import Row, Writing
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.sql import Statement

_NS_PER_MS: Final = 1_000_000
_PAGE: Final = 1_000
_LOG_ORDER: Final = "trials.at_ms, trials.namespace, trials.call_id, trials.arm"
_PLACE: Final = ", ".join(f"p.{name}" for name in ("place", "namespace", "workload", "goal", *ARM))


class StoredScores:
    """Keeps sums of evidence, settings and versions beside records."""

    def __init__(self, store: RecordStore, clock: Clock) -> None:
        """Take the store, and the clock that says how old evidence is."""
        self._store = store
        self._clock = clock
        self._mark = store.backend.flavour.mark

    @property
    def _now_ms(self) -> int:
        return self._clock.now_unix_ns() // _NS_PER_MS

    async def _changed[T](self, work: Callable[[Rows, Writing], T]) -> T:
        def run() -> T:
            with self._store.backend.transaction() as writing:
                return work(Rows(writing, self._mark), writing)

        try:
            return await self._store.write_with(run)
        finally:
            self._store.wake_followers()

    async def _read[T](
        self, sql: str, parameters: Sequence[Value], read: Callable[[Iterable[Row]], T]
    ) -> T:
        return await self._store.ask(
            Statement(sql.replace("?", self._mark), tuple(parameters)), read
        )

    # What is known of goals.

    async def goals(self, namespaces: frozenset[str] | None) -> Sequence[KnownGoal]:
        """List goals; None: of all namespaces."""
        where, parameters = _of_namespaces("namespace", namespaces)
        sql = (
            "select namespace, goal, change, last_ms from goal_changes "  # noqa: S608 - our own words
            f"where last_ms > 0 and {where} order by namespace, goal"
        )
        return await self._read(sql, parameters, lambda rows: [
            KnownGoal(GoalKey(str(namespace), str(goal)), _int(change), _int(last_ms))
            for namespace, goal, change, last_ms in rows
        ])  # fmt: skip

    async def sums(
        self, goal: str, namespaces: frozenset[str] | None, *, since_ms: int = 0
    ) -> Sequence[ArmSums]:
        """Read all that is known of a goal, by namespace, workload and arm."""
        where, parameters = _of_namespaces("p.namespace", namespaces)
        spent = (
            f"select {_PLACE}, {', '.join(f's.{name}' for name in SPENT)} from score_places as p "  # noqa: S608 - as above
            f"join score_spendings as s on s.place = p.place where p.goal = ? and {where} "
            "and s.day >= ?"
        )
        counts = (
            f"select {_PLACE}, s.reporter, s.level, s.number, s.good, s.bad "  # noqa: S608 - as above
            "from score_places as p join score_sums as s on s.place = p.place "
            f"where p.goal = ? and {where}"
        )
        found = _Sums(self._now_ms, since_ms)
        await self._read(spent, (goal, *parameters, since_ms // DAY_MS), found.take_spent)
        await self._read(counts, (goal, *parameters), found.take_counts)
        return found.sums()

    async def evidence(
        self, namespaces: frozenset[str] | None, goal: str, since_ms: int, until_ms: int
    ) -> Mapping[tuple[str, str], Counts]:
        """Sum the evidence of calls in a span of time by (provider, model); goal empty: all."""
        where, parameters = _of_namespaces("p.namespace", namespaces)
        if goal:
            where, parameters = f"{where} and p.goal = ?", [*parameters, goal]
        sql = (
            "select p.provider, p.model, s.level, s.number, sum(s.good), sum(s.bad) "  # noqa: S608 - as above
            "from score_places as p join score_sums as s on s.place = p.place "
            f"where {where} group by p.provider, p.model, s.level, s.number"
        )
        series = await self._read(sql, parameters, _by_model)
        found = {}
        for key, one in series.items():
            one.pack(self._now_ms)
            total = _total(one, since_ms, until_ms)
            if any(total):
                found[key] = total
        return found

    async def failures(self, key: GoalKey, since_ms: int) -> Mapping[str, int]:
        """Count the failures of calls since, by category."""
        sql = (
            "select failure_category, count(*) from trials where namespace = ? and goal = ? "
            "and at_ms >= ? and failure_category <> '' group by failure_category"
        )
        return await self._read(
            sql, (*key, since_ms), lambda rows: {str(name): _int(count) for name, count in rows}
        )

    async def log(
        self, selection: LogSelection, *, limit: int = 0
    ) -> AsyncIterator[Sequence[JudgedTrial]]:
        """Read decisions, the oldest first, in pages; limit 0: all."""
        after: tuple[Value, ...] = ()
        left = limit or None
        while left is None or left > 0:
            asked = _PAGE if left is None else min(left, _PAGE)
            page = await self._log_page(selection, after, asked)
            if page:
                yield page
            if len(page) < asked:
                return
            last = page[-1]
            trial = last.trial
            after = (trial.at_ms, last.namespace, trial.call_id, arm_key(trial.arm))
            left = None if left is None else left - len(page)

    async def _log_page(
        self, chosen: LogSelection, after: tuple[Value, ...], limit: int
    ) -> Sequence[JudgedTrial]:
        where, parameters = _of_namespaces("trials.namespace", chosen.namespaces)
        where += " and trials.propensity is not null and trials.source is not null"
        where += " and trials.at_ms >= ?"
        parameters.append(chosen.since_ms)
        if chosen.until_ms:
            where, parameters = f"{where} and trials.at_ms < ?", [*parameters, chosen.until_ms]
        if chosen.goal:
            where, parameters = f"{where} and trials.goal = ?", [*parameters, chosen.goal]
        if after:
            where, parameters = f"{where} and ({_LOG_ORDER}) > (?, ?, ?, ?)", [*parameters, *after]
        sql = (
            f"select {TRIAL_COLUMNS} from {TRIAL_TABLES} where {where} "  # noqa: S608 - as above
            f"order by {_LOG_ORDER} limit ?"
        )
        return await self._read(sql, (*parameters, limit), judged_trials)

    # Changes.

    async def changes(self, after: int) -> GoalChanges:
        """Say which goals changed after a number; after 0: all there are."""
        last = await self._last_change()
        sql = "select namespace, goal from goal_changes where change > ? and change <= ?"
        goals = await self._read(sql, (after, last), lambda rows: [
            GoalKey(str(namespace), str(goal)) for namespace, goal in rows
        ])  # fmt: skip
        return GoalChanges(frozenset(goals), max(after, last))

    async def _last_change(self) -> int:
        sql = "select last_change from learning_state"
        return await self._read(sql, (), lambda rows: next(_int(value) for (value,) in rows))

    async def changed(self, after: int) -> None:
        """Wait until a goal changed after a number, in any replica."""
        async with self._store.followed(is_own=True) as woken:
            while await self._last_change() <= after:
                await woken.wait()
                woken.clear()

    # Versions, settings and sharing.

    async def versions(self, namespace: str) -> VersionBook:
        """Read a namespace's router versions."""
        # In this order: a version that is in force is never missing.
        history = await self._read(HISTORY, (namespace,), _all)
        versions = await self._read(VERSIONS, (namespace,), _all)
        return book_of(history, versions)

    async def change_versions(self, namespace: str, decide: DecideVersions) -> VersionBook:
        """Decide about them in one transaction; counts as a change of all its goals."""

        def work(rows: Rows, writing: Writing) -> VersionBook:
            before = read_book(rows, namespace)
            after = decide(before, self._now_unix_ns(writing) // _NS_PER_MS)
            if after is not before:
                write_book(rows, namespace, before, after)
                learning_changes.note_change_of_all(rows, {namespace})
            return after

        return await self._changed(work)

    def _now_unix_ns(self, writing: Writing) -> int:
        shared = writing.now_unix_ns()
        return self._clock.now_unix_ns() if shared is None else shared

    async def settings(self, key: GoalKey) -> LearningSettings | None:
        """Read the settings of a goal; of ``*`` those of goals that have none. None: none set."""
        sql = "select settings from goal_settings where namespace = ? and goal = ?"
        found = await self._read(sql, key, _all)
        return read_settings(str(found[0][0])) if found else None

    async def put_settings(self, key: GoalKey, settings: LearningSettings) -> None:
        """Write the settings of a goal."""

        def work(rows: Rows, _: Writing) -> None:
            row = *key, written_settings(settings)
            rows.put("goal_settings", ("namespace", "goal"), ("settings",), [row])
            if key.goal == ALL_GOALS:
                learning_changes.note_change_of_all(rows, {key.namespace})
            else:
                learning_changes.note_changes(rows, {key: 0})

        await self._changed(work)

    async def share(self, namespace: str, *, shares: bool) -> None:
        """Note whether a namespace learns from others and lets them learn from it."""
        if (namespace in await self.sharing()) == shares:
            return

        def work(rows: Rows, _: Writing) -> None:
            if shares:
                rows.put("sharing_namespaces", ("namespace",), (), [(namespace,)])
            else:
                rows.run("delete from sharing_namespaces where namespace = ?", namespace)
            known = rows.run("select namespace from sharing_namespaces")
            # All who share learn from it, or no longer do.
            concerned = {namespace, *(str(name) for (name,) in known)}
            learning_changes.note_change_of_all(rows, concerned)

        await self._changed(work)

    async def sharing(self) -> frozenset[str]:
        """List the namespaces that do."""
        found = await self._read("select namespace from sharing_namespaces", (), _all)
        return frozenset(str(name) for (name,) in found)


class _Sums:
    """Gathers sums of places as they are read."""

    def __init__(self, now_ms: int, since_ms: int) -> None:
        self._now_ms = now_ms
        self._since_ms = since_ms
        self._found: dict[int, ArmSums] = {}

    def take_spent(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            known, spent = self._at(row), spent_of(row[-len(SPENT) :])
            known.calls += spent.calls
            known.spending.merge(spent.spending)

    def take_counts(self, rows: Iterable[Sequence[Any]]) -> None:
        # A series is made once, of all that was read: there may be hundreds of thousands of rows.
        buckets: dict[tuple[int, str], list[tuple[Bucket, Counts]]] = {}
        for row in rows:
            reporter, level, number, good, bad = row[-5:]
            self._at(row)
            read = buckets.setdefault((row[0], reporter), [])
            read.append((Bucket(level, number), Counts(good, bad)))
        for (place, reporter), read in buckets.items():
            self._found[place].by_reporter[reporter] = Series(read)

    def _at(self, row: Sequence[Any]) -> ArmSums:
        place, namespace, workload, goal, *arm = row[:7]
        if place not in self._found:
            self._found[place] = ArmSums(namespace, workload, goal, arm_of(*arm))
        return self._found[place]

    def sums(self) -> Sequence[ArmSums]:
        """Give what is not nothing, in order."""
        for known in self._found.values():
            for series in known.by_reporter.values():
                series.pack(self._now_ms)
            if self._since_ms:
                known.by_reporter = {
                    reporter: _since(series, self._since_ms)
                    for reporter, series in known.by_reporter.items()
                }
            known.by_reporter = {who: s for who, s in known.by_reporter.items() if len(s)}
        some = (known for known in self._found.values() if known.by_reporter or known.calls)
        return sorted(some, key=lambda one: (one.namespace, one.workload, one.arm.key))


def _since(series: Series, since_ms: int) -> Series:
    return Series(each for each in series.buckets() if each[0].end_ms > since_ms)


def _by_model(rows: Iterable[Sequence[Any]]) -> Mapping[tuple[str, str], Series]:
    found: dict[tuple[str, str], Series] = {}
    for provider, model, level, number, good, bad in rows:
        series = found.setdefault((provider, model), Series())
        series.merge(Series([(Bucket(level, number), Counts(int(good), int(bad)))]))
    return found


def _total(series: Series, since_ms: int, until_ms: int) -> Counts:
    total = NOTHING
    for bucket, counts in series.buckets():
        if bucket.end_ms > since_ms and bucket.start_ms < until_ms:
            total = total.plus(counts)
    return total


def _of_namespaces(column: str, namespaces: frozenset[str] | None) -> tuple[str, list[Value]]:
    if namespaces is None:
        return "1 = 1", []
    if not namespaces:
        return "1 = 0", []
    return f"{column} in ({', '.join('?' * len(namespaces))})", [*sorted(namespaces)]


def _all(rows: Iterable[Row]) -> list[Row]:
    return list(rows)


def _int(value: Value) -> int:
    return int(value or 0)
