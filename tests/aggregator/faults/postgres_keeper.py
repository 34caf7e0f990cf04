"""Holds a PostgreSQL server for a test, as a process: starts and kills it as it is told.

Whoever starts PostgreSQL as another user forks; a process that speaks gRPC may not.
"""

import sys

from remora.testing.postgres_server import postgres_server


def main() -> None:
    """Obey lines of input; answer each with a line, the first one unasked: where the socket is."""
    with postgres_server() as server:
        print(server.folder, flush=True)
        for line in sys.stdin:
            {"start": server.start, "stop": server.stop, "kill": server.kill}[line.strip()]()
            print("done", flush=True)


if __name__ == "__main__":
    main()
