"""The API server as a person's commands reach it: by a kubeconfig, or from within a pod."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from remora.cluster_tls import cluster_context
from remora.errors import ConfigError, Problem
from remora_operator.cluster.api_server import ApiServer
from remora_operator.settings import ACCOUNT_FOLDER, KubectlSettings

if TYPE_CHECKING:
    from kubernetes.client import Configuration

_TIMEOUT_S = 15.0


@asynccontextmanager
async def cluster_api(context: str | None) -> AsyncIterator[ApiServer]:
    """Open the cluster that kubectl would speak to.

    Args:
        context: A context of the kubeconfig; None: the current one, or in a pod without a
            kubeconfig its own ServiceAccount.

    Raises:
        ConfigError: There is no cluster to be found, or what was found can't be used.
    """
    async with _api(context) as api:
        yield api


def current_namespace(context: str | None) -> str:
    """Return the namespace that kubectl would ask in: the context's, else ``default``.

    Raises:
        ConfigError: The kubeconfig can't be read, or has no such context.
    """
    if _own_account(context) is not None:
        return (ACCOUNT_FOLDER / "namespace").read_text("utf-8").strip() or "default"
    from kubernetes.config import kube_config

    with _told(context):
        contexts, active = kube_config.list_kube_config_contexts(KubectlSettings().place)
        named = {one["name"]: one for one in contexts}
        chosen = active if context is None else named[context]
    return str(chosen["context"].get("namespace") or "default")


def _api(context: str | None) -> ApiServer:
    pod = _own_account(context)
    if pod is not None:
        token, ca = ACCOUNT_FOLDER / "token", ACCOUNT_FOLDER / "ca.crt"
        return ApiServer(pod.pod_api_url, token_file=token, ca_file=ca)
    configuration = _configuration(context)
    return ApiServer(
        configuration.host,
        token=_token_of(configuration),
        tls=lambda: _tls(configuration),
        timeout_s=_TIMEOUT_S,
    )


def _own_account(context: str | None) -> KubectlSettings | None:
    """Give where a pod's own cluster is, if its account is meant; None: a kubeconfig's is."""
    settings = KubectlSettings()
    is_own = context is None and settings.is_pod and not settings.has_kubeconfig
    return settings if is_own else None


def _configuration(context: str | None) -> "Configuration":
    from kubernetes.client import Configuration
    from kubernetes.config import kube_config

    configuration = Configuration()
    with _told(context):
        # What a login plug-in renews stays in memory: a question changes no file.
        kube_config.load_kube_config(
            KubectlSettings().place,
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
    return configuration


@contextmanager
def _told(context: str | None) -> Iterator[None]:
    """Say what is wrong with a kubeconfig in the words of whoever has to mend it."""
    try:
        yield
    except Exception as error:  # the reader does not foresee all that a file may hold
        where = KubectlSettings().place
        of = "" if context is None else f", context {context!r}"
        what = f"no cluster can be read from it ({error})"
        raise ConfigError([Problem(f"kubeconfig {where}{of}", what)]) from error


def _token_of(configuration: "Configuration") -> Callable[[], str] | None:
    """Give the token as it is at each request: login plug-ins renew it."""

    def token() -> str:
        said = configuration.get_api_key_with_prefix("BearerToken") or ""
        return str(said).removeprefix("Bearer ")

    return token if configuration.api_key.get("BearerToken") else None


def _tls(configuration: "Configuration") -> ssl.SSLContext:
    try:
        context = cluster_context(configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
    except (OSError, ValueError) as error:
        what = f"a certificate of it can't be used: {error}"
        raise ConfigError([Problem("kubeconfig", what)]) from error
    if not configuration.verify_ssl:  # as the person's own kubeconfig says
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
