"""The annotation that says what a pod was given, so that drift can be seen."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from remora_operator.inject.layout import WORKLOAD_VARIABLE
from remora_operator.inject.outcome import Json, Mode

_DIGEST_CHARACTERS = 16


def digest(containers: Mapping[str, Json], volumes: Sequence[Json]) -> str:
    """Return a digest, in hex, of what the operator writes of its own accord.

    What may differ in a pod (resources, the workload's name) or is added by others does not
    count: a different digest means that the operator would write something else today.
    """
    document = {
        "containers": [_without_workload(container) for container in containers.values()],
        "volumes": list(volumes),
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]


def status_text(mode: Mode, found: str) -> str:
    """Write the annotation's value."""
    return json.dumps({"mode": mode.value, "hash": found}, separators=(",", ":"))


def _without_workload(container: Json) -> Json:
    variables = [v for v in container["env"] if v["name"] != WORKLOAD_VARIABLE]
    return {**container, "env": variables}
