"""No core dumps: a process that holds keys and prompts must not leave them on a disk."""

import resource


def switch_off_core_dumps() -> None:
    """Forbid this process, for good, to be dumped."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
