"""Writes on pods which policy version their sidecar has in force, and what it refused.

The replica that holds a sidecar's stream hears that; the leader, which counts, may be another one,
and so may be whoever looks with ``kubectl``. Of several answers only the last is written, and so
many in a second that the API server does not mind; while it is away they wait.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from remora.errors import Unavailable
from remora.pauses import GrowingPause
from remora_operator.cluster.api_server import ApiServer, Json, Refused
from remora_operator.cluster.metrics import ClusterMetrics
from remora_operator.cluster.reports import report, reported_refusal, reported_version
from remora_operator.cluster.resources import path_of_pod
from remora_operator.delivery.pod_identity import PodIdentity
from remora_operator.policies import Answer, PodFacts

logger = logging.getLogger(__name__)

SETTLE_S = 0.2
"""A greeting is mostly followed by an answer: one mark for both."""

AT_ONCE = 8
PER_SECOND = 50.0

_LONGEST_PAUSE_S = 15.0
_ANOTHER_POD = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)
"""How a server refuses a change of a pod whose name has another uid by now."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is to stand on a pod: what its sidecar answered last."""

    who: PodIdentity
    answer: Answer

    @property
    def patch(self) -> Json:
        """Change the pod, and no other one of its name."""
        return {"metadata": {"uid": self.who.pod_uid, "annotations": report(self.answer)}}

    def stands_on(self, pod: PodFacts) -> bool:
        """Tell whether nothing is to be written."""
        wanted = {name: text for name, text in report(self.answer).items() if text is not None}
        return pod.reported_version == reported_version(
            wanted
        ) and pod.reported_refusal == reported_refusal(wanted)


class PodMarks:
    """The marks that this replica has still to write."""

    def __init__(
        self,
        api: ApiServer,
        *,
        facts_of: Callable[[str], PodFacts | None],
        is_connected: Callable[[str], bool],
        metrics: ClusterMetrics,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take who knows what is needed no more.

        Args:
            api: Entered already.
            facts_of: Gives a pod by its uid, with the mark that it has; None: it is gone.
            is_connected: Tells whether a pod's stream is held here: else another replica knows
                better by now.
            metrics: Count.
            jitter: Between 0 and 1.
        """
        self._api = api
        self._facts_of = facts_of
        self._is_connected = is_connected
        self._metrics = metrics
        self._waiting: dict[str, _Mark] = {}
        self._written: dict[str, Answer] = {}
        self._changed = asyncio.Event()
        self._pauses = GrowingPause(jitter, longest_s=_LONGEST_PAUSE_S)
        self._fails = False

    def heard(self, who: PodIdentity, answer: Answer) -> None:
        """Take what a sidecar said."""
        self._wait(_Mark(who, answer))
        self._changed.set()

    def forget(self, uid: str) -> None:
        """Forget a pod that is gone."""
        self._written.pop(uid, None)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_S)
            self._changed.clear()
            while self._waiting:
                if await self._write(self._next()):
                    self._pauses.begin_anew()
                    await asyncio.sleep(AT_ONCE / PER_SECOND)
                else:
                    await asyncio.sleep(self._pauses.next_s())

    def _wait(self, mark: _Mark) -> None:
        self._waiting[mark.who.pod_uid] = mark
        self._metrics.marks_waiting.set(len(self._waiting))

    def _next(self) -> list[_Mark]:
        """Take out as many as are written at once, of those that are still needed."""
        found = list[_Mark]()
        while self._waiting and len(found) < AT_ONCE:
            mark = self._waiting.pop(next(iter(self._waiting)))
            if self._is_needed(mark):
                found.append(mark)
        self._metrics.marks_waiting.set(len(self._waiting) + len(found))
        return found

    def _is_needed(self, mark: _Mark) -> bool:
        uid = mark.who.pod_uid
        facts = self._facts_of(uid)
        if facts is None or not self._is_connected(uid):
            return False
        # What is known of the pod may be older than what was written on it just now.
        is_last = self._written.get(uid, mark.answer) == mark.answer
        return not (is_last and mark.stands_on(facts))

    async def _write(self, marks: list[_Mark]) -> bool:
        """Tell whether all could be written; those that could not wait again."""
        results = await asyncio.gather(*map(self._patch, marks))
        for mark, is_done in zip(marks, results, strict=True):
            if not is_done and mark.who.pod_uid not in self._waiting:
                self._wait(mark)
        self._metrics.marks_waiting.set(len(self._waiting))
        return all(results)

    async def _patch(self, mark: _Mark) -> bool:
        path = path_of_pod(mark.who.namespace, mark.who.pod_name)
        try:
            found = await self._api.patch(path, mark.patch)
        except Refused as refused:
            if refused.status in _ANOTHER_POD:
                self._metrics.marks.labels("gone").inc()
                return True
            return self._failed(refused, "refused")
        except Unavailable as error:
            return self._failed(error, "unavailable")
        self._metrics.marks.labels("gone" if found is None else "written").inc()
        if self._facts_of(mark.who.pod_uid) is not None:
            self._written[mark.who.pod_uid] = mark.answer
        self._fails = False
        return True

    def _failed(self, error: Unavailable, result: str) -> bool:
        self._metrics.marks.labels(result).inc()
        level = logging.DEBUG if self._fails else logging.WARNING
        logger.log(level, "policy versions can't be written on pods: %s", error)
        self._fails = True
        return False
