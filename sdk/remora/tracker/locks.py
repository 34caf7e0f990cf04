"""Locks that a fork must not take along locked: whoever holds one is not there in the child.

A fork waits until nobody holds them; none is ever held for long.
"""

import importlib
import os
import threading
from typing import Any

from remora.tracker import active

installing = threading.Lock()
"""Held while functions are replaced."""

importing: Any = getattr(
    importlib.import_module("wrapt.importer"), "_post_import_hooks_lock", threading.RLock()
)
"""Of wrapt's finder, which asks for it at each import of whatever module."""

if hasattr(os, "register_at_fork"):
    # The last is taken first by a fork, and by who installs before it asks for the others.
    for _lock in (importing, active.telling, installing):
        os.register_at_fork(
            before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
        )
