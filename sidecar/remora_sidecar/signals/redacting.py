"""Texts made fit for the eyes of another model: off the loop, since long ones take a while."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from remora_sidecar.policy import PolicySnapshot
from remora_sidecar.policy.redaction import RedactionRules, Redactor, without_keys


class Redacting:
    """Redacts texts by the policy in force."""

    def __init__(self, policy: Callable[[], PolicySnapshot], worker: Executor, salt: bytes) -> None:
        """Take the rules.

        Args:
            policy: Gives the policy in force.
            worker: Where it is done.
            salt: Keys digests.
        """
        self._policy = policy
        self._worker = worker
        self._salt = salt
        self._rules: tuple[PolicySnapshot, RedactionRules] | None = None

    async def if_policy_redacts(self, *texts: str) -> tuple[str, ...]:
        """Take out what policy takes out of bodies; keys in any case."""
        rules = self._policy().redaction
        return await self._done(texts, rules)

    async def always(self, *texts: str) -> tuple[str, ...]:
        """Take out all that redaction finds, whatever policy captures."""
        policy = self._policy()
        if self._rules is None or self._rules[0] is not policy:
            self._rules = policy, RedactionRules(policy.effective.rules.redaction)
        return await self._done(texts, self._rules[1])

    async def _done(self, texts: tuple[str, ...], rules: RedactionRules | None) -> tuple[str, ...]:
        change = without_keys if rules is None else Redactor(rules, self._salt).text
        loop = asyncio.get_running_loop()
        return tuple(await loop.run_in_executor(self._worker, _each, change, texts))


def _each(change: Callable[[str], str], texts: tuple[str, ...]) -> list[str]:
    return [change(text) for text in texts]
