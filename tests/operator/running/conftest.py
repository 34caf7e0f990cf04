"""A cluster for each module of tests, on a loop that lasts as long."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.operator.running.stage import Stage, running_cluster

from remora.testing.kubelet import why_not


@pytest.fixture(scope="session")
def pods_run() -> None:
    """Skip, with the reason, where no pods can be run."""
    if reason := why_not():
        pytest.skip(reason)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(pods_run: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """The cluster of one module's tests."""
    async with running_cluster(tmp_path_factory.mktemp("cluster")) as stage:
        yield stage
