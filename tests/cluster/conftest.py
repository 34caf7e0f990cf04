"""A real cluster, reached by kubectl alone. Without one the suite is skipped.

    KUBECONFIG=…            the cluster; whoever it names may do everything there
    REMORA_TEST_IMAGE=…     an image of this checkout that the cluster's nodes can pull or have
    REMORA_TEST_PROVIDER=…  http(s)://host[:port] of a provider that speaks Chat Completions and
                            that pods can reach; without it the suite runs one of its own

It installs Remora from ``k8s/`` into ``remora-system``, makes namespaces that begin with
``remora-suite``, and takes all of it away at the end.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.cluster import objects
from tests.cluster.installation import Installation
from tests.cluster.kubectl import Kubectl, until

OWN_NAMESPACE = "remora-suite-provider"
OWN_HOST = f"provider.{OWN_NAMESPACE}.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Provider:
    """Who answers the suite's agents.

    Attributes:
        url: In front of ``/v1/chat/completions``.
        name: Of its LLMProvider.
    """

    url: str
    name: str = "remora-suite"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the suite, with the reason, where there is no cluster."""
    why = _why_not()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(1200))
            if why:
                item.add_marker(pytest.mark.skip(reason=why))


def _why_not() -> str:
    if not os.environ.get("KUBECONFIG"):
        return "no cluster: KUBECONFIG is not set"
    if not os.environ.get("REMORA_TEST_IMAGE"):
        return "no image: REMORA_TEST_IMAGE is not set"
    return "" if shutil.which("kubectl") else "there is no kubectl on PATH"


@pytest.fixture(scope="session")
def image() -> str:
    """The image of Remora, which the suite's agents run, too."""
    return os.environ["REMORA_TEST_IMAGE"]


@pytest.fixture(scope="session")
def installed(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Remora, installed from ``k8s/``; gone again at the end."""
    installation = Installation(image, tmp_path_factory.mktemp("install"))
    try:
        installation.put()
        yield installation
    finally:
        # First the pods that hold sidecars, then what serves them.
        Kubectl().run(
            "delete", "namespace,llmproviders.remora.dev", "-l", "remora-suite=true",
            "--ignore-not-found", within_s=300,
        )  # fmt: skip
        installation.remove()


@pytest.fixture(scope="session")
def provider(installed: Installation, image: str) -> Provider:
    """A provider that agents call and that the cluster's policies know."""
    given = os.environ.get("REMORA_TEST_PROVIDER")
    if not given:
        installed.upstream_root = _own_root(image)
    url = (given or f"https://{OWN_HOST}").rstrip("/")
    parts = urlsplit(url if "://" in url else f"http://{url}")
    tls = parts.scheme == "https"
    found = Provider(f"{parts.scheme}://{parts.netloc}")
    port = parts.port or (443 if tls else 80)
    installed.provider = objects.provider(found.name, str(parts.hostname), port, tls=tls)
    installed.put()
    return found


def _own_root(image: str) -> str:
    """Run a provider of the suite's own; returns its root, PEM."""
    kubectl = Kubectl(OWN_NAMESPACE)
    kubectl.apply(objects.namespace(OWN_NAMESPACE))
    kubectl.apply(*objects.double(image, OWN_HOST))
    kubectl.rolled_out("deployment/provider")
    return until(
        lambda: kubectl.tried("exec", "deployment/provider", "--", "cat", objects.ROOT_FILE).stdout,
        "the provider's root",
    )


@pytest.fixture
def make_team(installed: Installation) -> Iterator[Callable[..., Kubectl]]:
    """Make namespaces with the labels that a test wants."""
    made: list[Kubectl] = []

    def make(labels: Mapping[str, str] | None = None) -> Kubectl:
        kubectl = Kubectl(f"remora-suite-{uuid.uuid4().hex[:8]}")
        kubectl.apply(objects.namespace(kubectl.namespace, labels))
        made.append(kubectl)
        until(
            lambda: kubectl.tried("get", "serviceaccount", "default").returncode == 0,
            "the namespace has its ServiceAccount",
        )
        return kubectl

    yield make
    for kubectl in made:
        kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")


@pytest.fixture
def team(make_team: Callable[..., Kubectl]) -> Kubectl:
    """A namespace whose pods are injected."""
    return make_team(objects.ENABLED)
