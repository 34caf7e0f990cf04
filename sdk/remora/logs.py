"""What a part writes to stderr: its own words, and of libraries only that they failed.

Library loggers quote what agents, providers and clusters sent; none of that may reach a log.
"""

import logging
import sys

_OWN = ("remora", "remora_sidecar", "remora_aggregator", "remora_operator")


class _Discreet(logging.Filter):
    """Passes our own records; cuts a library's errors down to their kind."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide about a record; a library's error is reworded in place."""
        if record.name.partition(".")[0] in _OWN:
            return True
        if record.levelno < logging.ERROR:
            return False
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "error"
        record.msg, record.args = f"a library reported an {kind}", ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def configure_logs(level: str) -> None:
    """Send logs to stderr at the given level; call once per process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(_Discreet())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OWN:
        logging.getLogger(name).setLevel(level.upper())
