"""How many files and connections this process may have open at once."""

import resource


def raise_descriptor_limit(wanted: int) -> int:
    """Raise the soft limit of open files to ``wanted``, or as far as it goes; return what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
