"""Decides about reviews: at once where it is quick, in a thread where it is not."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from remora_operator.inject import InjectionConfig, Namespace, PolicyNeeds
from remora_operator.webhook.review import Answer, NamespaceOf, answer, refusal

logger = logging.getLogger(__name__)

type ConfigOf = Callable[[], InjectionConfig]
"""Gives the configuration that is in force."""

QUICK_BYTES: Final = 32 * 1024
"""A larger review is decided in a thread: about 0.3 ms for each KiB that is containers."""

_THREADS: Final = 2
_LOOP_S: Final = 5.0
"""How long a thread waits for the loop: longer than the API server waits for the thread."""


class Admission:
    """Answers reviews; what it asks of others it asks on the loop, where they live."""

    def __init__(self, namespace_of: NamespaceOf, config_of: ConfigOf) -> None:
        """Take who knows namespaces, and the configuration."""
        self._namespace_of = namespace_of
        self._config_of = config_of
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="review")

    async def answer(self, body: bytes) -> Answer:
        """Answer a review; it never raises for what stands in it, or goes wrong in here."""
        try:
            config = self._config_of()
            if len(body) <= QUICK_BYTES:
                found = answer(body, self._namespace_of, config, chosen=True)
            else:
                found = await self._in_thread(body, config)
        except Exception as error:  # noqa: BLE001 - whatever it is, the API server gets an answer
            what = f"remora could not decide about this pod ({type(error).__name__})"
            found = replace(refusal(500, what, body), error=error)
        if found.error is not None:
            logger.error("a review could not be decided", exc_info=found.error)
        return found

    async def _in_thread(self, body: bytes, config: InjectionConfig) -> Answer:
        loop = asyncio.get_running_loop()
        namespace_of = _Elsewhere(loop, self._namespace_of).namespace_of
        return await loop.run_in_executor(
            self._threads, lambda: answer(body, namespace_of, config, chosen=True)
        )

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Elsewhere:
    """What a thread asks of a namespace, asked on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, namespace_of: NamespaceOf) -> None:
        self._loop = loop
        self._namespace_of = namespace_of

    def namespace_of(self, name: str) -> Namespace | None:
        found = self._ask(lambda: self._namespace_of(name))
        if found is None:
            return None

        def needs(labels: Mapping[str, str]) -> PolicyNeeds:
            return self._ask(lambda: found.needs(labels))

        return replace(found, needs=needs)

    def _ask[T](self, question: Callable[[], T]) -> T:
        said = Future[T]()

        def ask() -> None:
            try:
                said.set_result(question())
            except Exception as error:  # noqa: BLE001 - raised where it was asked
                said.set_exception(error)

        self._loop.call_soon_threadsafe(ask)
        return said.result(_LOOP_S)
