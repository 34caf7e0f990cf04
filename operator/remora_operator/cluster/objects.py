"""Objects of the API server as they travel: JSON, read where they come in. Pure."""

from collections.abc import Mapping
from typing import Any

type Json = Mapping[str, Any]
