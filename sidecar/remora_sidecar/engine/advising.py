"""A call put before its session's router."""

from typing import Final

from remora_sidecar.engine.route_context import route_context
from remora_sidecar.engine.session_router import Advice
from remora_sidecar.engine.sessions import Advisor
from remora_sidecar.engine.situation import Situation

MAX_TOLD_BODY_BYTES: Final = 1024 * 1024
"""A router is asked about a call with a larger body, but not told the body."""


async def advice_of(router: Advisor, situation: Situation) -> Advice | None:
    """Ask a session's router about a call; None where its answer could change nothing."""
    if situation.sealed:
        situation.note(f"the session's router was not asked: {situation.sealed}")
        return None
    has_body = len(situation.own.body) <= MAX_TOLD_BODY_BYTES
    if not has_body:
        situation.note(
            "the session's router was asked without the request's body, which is larger than "
            f"{MAX_TOLD_BODY_BYTES} bytes"
        )
    return await router.ask(route_context(situation), has_body=has_body)
