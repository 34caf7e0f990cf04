"""What the API server's version says about the pods that it takes.

https://kubernetes.io/docs/reference/using-api/api-concepts/ (``/version``)
"""

import logging
import re
from typing import Final

from remora.errors import Unavailable
from remora_operator.cluster.api_server import ApiServer, Json

logger = logging.getLogger(__name__)

NATIVE_SIDECARS_SINCE: Final = (1, 29)
"""``restartPolicy: Always`` of init containers is on by default (KEP-753)."""


async def has_native_sidecars(api: ApiServer) -> bool:
    """Tell whether the server knows native sidecars; one that does not say is taken for new."""
    try:
        version = read_version(await api.get("/version") or {})
    except Unavailable as error:
        logger.warning("the API server's version is not known, and taken for a new one: %s", error)
        return True
    if version is None or version >= NATIVE_SIDECARS_SINCE:
        return True
    logger.warning(
        "Kubernetes %d.%d knows no native sidecars: pods get plain containers instead, and calls "
        "of init containers go past them",
        *version,
    )
    return False


def read_version(said: Json) -> tuple[int, int] | None:
    """Read major and minor, which some servers give with a suffix such as ``28+``."""
    parts = [re.match(r"\d+", str(said.get(name, ""))) for name in ("major", "minor")]
    numbers = [int(part[0]) for part in parts if part is not None]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None
