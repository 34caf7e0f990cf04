"""The volumes that injection adds to a pod.

Every field that the API server would fill in is written out, so that a second pass can tell
by equality what is ours.
"""

from itertools import groupby
from typing import Any

from remora.trust import BUNDLE_FILE, CA_FILE, TRUSTSTORE_FILE
from remora_operator.inject.config import InjectionConfig, SecretKey
from remora_operator.inject.layout import (
    AGGREGATOR_AUDIENCE,
    AGGREGATOR_TOKEN_FILE,
    CA_TRUST_BUNDLE,
    DATA_VOLUME,
    FULL_TRUST_BUNDLE,
    IDENTITY_VOLUME,
    OPERATOR_AUDIENCE,
    OPERATOR_TOKEN_FILE,
    SECRETS_VOLUME,
    SERVING_CA_FILE,
    TRUST_CONFIG_MAP,
    TRUST_FILES,
    TRUST_VOLUME,
    UPSTREAM_CA_FILE,
)

_MODE = 0o644

type Json = dict[str, Any]


def own_volumes(config: InjectionConfig, secrets: tuple[SecretKey, ...]) -> list[Json]:
    """Return the volumes, in the order in which they are appended to the pod's."""
    volumes = [
        _projected(TRUST_VOLUME, _trust_sources(config)),
        _projected(IDENTITY_VOLUME, _identity_sources(config)),
        {"name": DATA_VOLUME, "emptyDir": {"sizeLimit": config.data_size}},
    ]
    if secrets:
        volumes.append(_projected(SECRETS_VOLUME, _secret_sources(secrets)))
    return volumes


def _projected(name: str, sources: list[Json]) -> Json:
    return {"name": name, "projected": {"sources": sources, "defaultMode": _MODE}}


def _trust_sources(config: InjectionConfig) -> list[Json]:
    if config.trust_source == "configMap":
        return [_config_map(*TRUST_FILES)]
    return [
        _trust_bundle(CA_TRUST_BUNDLE, CA_FILE),
        _trust_bundle(FULL_TRUST_BUNDLE, BUNDLE_FILE),
        _config_map(TRUSTSTORE_FILE),
    ]


def _identity_sources(config: InjectionConfig) -> list[Json]:
    roots = (SERVING_CA_FILE, UPSTREAM_CA_FILE) if config.upstream_ca else (SERVING_CA_FILE,)
    return [
        _token(OPERATOR_AUDIENCE, OPERATOR_TOKEN_FILE, config.token_s),
        _token(AGGREGATOR_AUDIENCE, AGGREGATOR_TOKEN_FILE, config.token_s),
        _config_map(*roots),
    ]


def _secret_sources(secrets: tuple[SecretKey, ...]) -> list[Json]:
    """Project each Secret's keys as NAME/KEY; optional, so that a missing one holds up nobody."""
    ordered = sorted(set(secrets), key=lambda secret: (secret.name, secret.key))
    return [
        {
            "secret": {
                "name": name,
                "items": [{"key": s.key, "path": f"{name}/{s.key}"} for s in keys],
                "optional": True,
            }
        }
        for name, keys in groupby(ordered, key=lambda secret: secret.name)
    ]


def _config_map(*files: str) -> Json:
    items = [{"key": file, "path": file} for file in files]
    return {"configMap": {"name": TRUST_CONFIG_MAP, "items": items}}


def _trust_bundle(name: str, file: str) -> Json:
    return {"clusterTrustBundle": {"name": name, "path": file}}


def _token(audience: str, file: str, life_s: int) -> Json:
    return {
        "serviceAccountToken": {"audience": audience, "expirationSeconds": life_s, "path": file}
    }
