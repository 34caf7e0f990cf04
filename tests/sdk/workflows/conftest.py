"""Workflows as tests write them: small, given as values."""

from collections.abc import Callable
from typing import Any

import pytest

from remora.errors import ConfigError
from remora.workflows import given_workflow


def workflow(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A workflow of steps that ask something if they say nothing of it."""
    asked = [
        step if "messages" in step or "prompt" in step else {"prompt": "Go on.", **step}
        for step in steps
    ]
    return {"name": "test", "steps": asked, **fields}


@pytest.fixture
def compiled() -> Callable[..., Any]:
    """Compile steps to a workflow."""
    return lambda *steps, market=None, **fields: given_workflow(workflow(*steps, **fields), market)


@pytest.fixture
def problems() -> Callable[..., list[str]]:
    """List what is wrong with steps."""

    def problems(*steps: dict[str, Any], market: Any = None, **fields: Any) -> list[str]:
        try:
            given_workflow(workflow(*steps, **fields), market)
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        return []

    return problems
