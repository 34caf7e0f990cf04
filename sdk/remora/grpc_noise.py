"""Keeps gRPC's own log lines off the terminal of the person who runs a command.

gRPC's core writes to stderr, past Python's logging, whenever a peer says goodbye. Every
failure also reaches us as a status, so nothing is lost. Called first by the command line
and never by library code: a program that imports the SDK decides this for itself.
"""

import os


def silence_grpc() -> None:
    """Ask gRPC to be quiet, unless the person asked otherwise.

    Must run before the first ``import grpc``, which is when gRPC reads the variable.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # noqa: TID251  # gRPC's variable, not ours
