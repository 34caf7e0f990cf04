"""Which shape of a pod the API server takes."""

import pytest

from remora.testing.kubernetes_api import KubernetesApi
from remora_operator.cluster.api_server import ApiServer
from remora_operator.cluster.server_version import has_native_sidecars, read_version


@pytest.mark.parametrize(
    ("said", "version"),
    [
        pytest.param({"major": "1", "minor": "36"}, (1, 36), id="upstream"),
        pytest.param({"major": "1", "minor": "28+"}, (1, 28), id="with a suffix"),
        pytest.param({"major": "1"}, None, id="no minor"),
        pytest.param({"major": "1", "minor": ""}, None, id="empty"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_the_version_is_read(said, version):
    assert read_version(said) == version


@pytest.mark.parametrize(
    ("minor", "native"), [("28", False), ("29", True), ("36+", True), ("?", True)]
)
async def test_servers_before_1_29_know_no_native_sidecars(minor, native):
    cluster = KubernetesApi()
    cluster.version = {"major": "1", "minor": minor}
    async with cluster.serving(), ApiServer(cluster.url) as api:
        assert await has_native_sidecars(api) is native


async def test_a_server_that_does_not_say_is_taken_for_a_new_one():
    cluster = KubernetesApi()
    cluster.fails_with = 503
    async with cluster.serving(), ApiServer(cluster.url) as api:
        assert await has_native_sidecars(api)
