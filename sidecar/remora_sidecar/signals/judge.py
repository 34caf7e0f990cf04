"""Some of the answers that passed, judged by a model that policy names.

The call never waits for it: an answer is put in a bounded queue or dropped, and what the judge says
is a signal. The text is held until it is judged, and no longer.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from remora.clock import Clock
from remora.errors import Unavailable
from remora.policy.signals import AskedModel
from remora.policy.signals import Judge as JudgePolicy
from remora.records import CallRecord
from remora_sidecar.policy import PolicySnapshot
from remora_sidecar.signals.evaluation import prompt_texts
from remora_sidecar.signals.judge_question import VERDICT_SCHEMA, parse_verdict, question
from remora_sidecar.signals.late_checks import SignalSink
from remora_sidecar.signals.own_calls import JUDGE, NotAnswered, OwnCalls, Question
from remora_sidecar.signals.redacting import Redacting
from remora_sidecar.signals.spending import Limit
from remora_sidecar.signals.told import signal_of_verdict

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 64
LONGEST_REQUEST_BYTES: Final = 512 * 1024
"""Of what a waiting answer holds; a longer request is not judged."""
LONGEST_ANSWER_CHARACTERS: Final = 64 * 1024
JUDGED_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One answer that is to be judged."""

    record: CallRecord
    asked: bytes = field(repr=False)
    text: str = field(repr=False)


class Judge:
    """Takes answers and has them judged.

    Attributes:
        dropped: Answers that were drawn and not judged, by reason.
        judged: How many were.
    """

    def __init__(
        self,
        policy: Callable[[], PolicySnapshot],
        calls: OwnCalls,
        sink: SignalSink,
        redacting: Redacting,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        """Take who asks and who is told.

        Args:
            policy: Gives the policy in force.
            calls: Asks the model.
            sink: Gets the verdicts.
            redacting: Takes out of texts what policy has taken out.
            clock: Of signals.
            chance: Draws a number from 0 to 1, 1 left out.
        """
        self.dropped: dict[str, int] = {}
        self.judged = 0
        self._policy = policy
        self._calls = calls
        self._sink = sink
        self._redacting = redacting
        self._clock = clock
        self._chance = chance
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(MOST_WAITING)

    def consider(self, record: CallRecord, request_body: bytes, text: str) -> None:
        """Put an answer in the queue, if chance and policy have it so; never waits."""
        rules = self._rules()
        if rules is None or self._chance() >= rules.sample:
            return
        if len(request_body) > LONGEST_REQUEST_BYTES or len(text) > LONGEST_ANSWER_CHARACTERS:
            self._drop("too_long")
            return
        try:
            self._queue.put_nowait(_Waiting(_without_bodies(record), request_body, text))
        except asyncio.QueueFull:
            self._drop("queue_full")

    async def run(self) -> None:
        """Judge what waits, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(JUDGED_AT_ONCE):
                group.create_task(self._run_one(), name=f"judge/{number}")

    @property
    def waiting(self) -> int:
        """How many answers wait."""
        return self._queue.qsize()

    def _rules(self) -> JudgePolicy | None:
        return self._policy().effective.rules.signals.judge

    def _drop(self, why: str) -> None:
        self.dropped[why] = self.dropped.get(why, 0) + 1

    async def _run_one(self) -> None:
        while True:
            waiting = await self._queue.get()
            try:
                await self._judge(waiting)
            except NotAnswered as error:
                self._drop(error.why.value)
                logger.info("an answer was not judged: %s", error)
            except ValueError as error:
                self._drop("unreadable")
                logger.info("an answer was not judged: %s", error)
            except Unavailable as error:
                self._drop("outbox")
                logger.warning("a verdict is lost: %s", error)
            except Exception as error:  # noqa: BLE001 - its text might quote the answer
                self._drop("internal")
                logger.error("judging failed: %s", type(error).__name__)

    async def _judge(self, waiting: _Waiting) -> None:
        rules = self._rules()
        if rules is None:  # policy has changed meanwhile
            return
        record = waiting.record
        asked, answered = await self._redacting.if_policy_redacts(
            "\n\n".join(prompt_texts(waiting.asked)), waiting.text
        )
        answer = await self._calls.ask(
            Question(
                agent_id=JUDGE,
                provider=rules.provider,
                model=rules.model,
                messages=question(record.attribution.goal, asked, answered),
                limit=limit_of(JUDGE, rules),
                schema=VERDICT_SCHEMA,
                schema_name="verdict",
            )
        )
        verdict = parse_verdict(answer.text)
        self.judged += 1
        now = self._clock.now_unix_ns()
        signal = signal_of_verdict(record, verdict.score, verdict.category, rules.threshold, now)
        await self._sink.take([signal])


def limit_of(name: str, asked: AskedModel) -> Limit:
    """Give the limit that policy names."""
    return Limit(name, asked.max_cost_usd, asked.window.milliseconds)


def _without_bodies(record: CallRecord) -> CallRecord:
    return replace(record, request_body=None, response_body=None)
