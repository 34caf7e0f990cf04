"""A second opinion on what a user's message says of an answer, by a model that policy names.

The SDK's own classifier asks for it where it is unsure. What the user wrote is redacted before it
goes to the model, and kept nowhere.
"""

from collections.abc import Callable

from remora.feedback.classifier.context import Context
from remora.feedback.classifier.second_opinion import (
    ANSWER_SCHEMA,
    Opinion,
    parse_opinion,
    question,
)
from remora.policy.signals import SecondOpinion
from remora_sidecar.policy import PolicySnapshot
from remora_sidecar.signals.judge import limit_of
from remora_sidecar.signals.own_calls import CLASSIFIER, NotAnswered, OwnCalls, Question, Why
from remora_sidecar.signals.redacting import Redacting

TIMEOUT_S = 20.0


class Opinions:
    """Gives second opinions.

    Attributes:
        given: How many were.
    """

    def __init__(
        self, policy: Callable[[], PolicySnapshot], calls: OwnCalls, redacting: Redacting
    ) -> None:
        """Take who is asked; `policy` gives the policy in force."""
        self.given = 0
        self._policy = policy
        self._calls = calls
        self._redacting = redacting

    @property
    def rules(self) -> SecondOpinion | None:
        """What policy says of them, by now; None: there are none."""
        return self._policy().effective.rules.signals.classifier

    async def opinion(
        self, rules: SecondOpinion, message: str, previous: str, prior: str
    ) -> Opinion:
        """Ask about a message.

        Args:
            rules: Of the policy.
            message: What the user wrote.
            previous: The user's message that was answered; empty if unknown.
            prior: The answer before it; empty if unknown.

        Raises:
            NotAnswered: There is no opinion; the text holds nothing of what the user wrote.
        """
        shown, before, answered = await self._redacting.always(message, previous, prior)
        answer = await self._calls.ask(
            Question(
                agent_id=CLASSIFIER,
                provider=rules.provider,
                model=rules.model,
                messages=question(shown, Context(before, answered)),
                limit=limit_of(CLASSIFIER, rules),
                schema=ANSWER_SCHEMA,
                schema_name="opinion",
                timeout_s=TIMEOUT_S,
            )
        )
        try:
            found = parse_opinion(answer.text)
        except ValueError as error:
            raise NotAnswered(Why.FAILED, f"the model's opinion can't be read: {error}") from error
        self.given += 1
        return found
