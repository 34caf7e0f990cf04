"""Where a running sidecar can be reached, as it tells in its data directory.

The file can outlive its sidecar, so a reader asks the control listener before believing it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

ADDRESSES_FILE = "addresses.json"

GATEWAY_VARIABLE = "REMORA_GATEWAY_URL"
"""Names the control listener of the sidecar that trackers are to use."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Each as ``host:port``, the folder as a path."""

    proxy: str
    control: str
    status: str
    trust_dir: str
    data_dir: str

    def text(self) -> str:
        """Write as one line of JSON."""
        return json.dumps(asdict(self))


def read_addresses(folder: Path) -> Addresses | None:
    """Read what the last sidecar of this folder told; None if it told nothing readable."""
    try:
        return Addresses(**json.loads((folder / ADDRESSES_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
