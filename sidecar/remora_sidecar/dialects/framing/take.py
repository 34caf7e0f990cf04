"""Who takes the objects of an answer, as they become whole.

Named each time bytes are fed and never kept: a reader and its body would hold each other, and
wait for the collector after every call.
"""

from collections.abc import Callable, Mapping
from typing import Any

Take = Callable[[Mapping[str, Any], bytes], object]
"""Takes an object and the name of its event (empty where it had none)."""
