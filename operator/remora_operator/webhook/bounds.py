"""How much the webhook does at once, and how long it waits for whom."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one listener; an API server with a healthy network meets none of them.

    Attributes:
        connections: How many stand at once; the one that is idle longest makes room for another.
        handshake_s: How long TLS may take to begin.
        head_s: How long the head of a request may take to come.
        body_s: How long its body may take.
        answer_s: How long a client may take to read an answer.
        idle_s: How long a connection is kept for another request. Longer than the API server
            keeps it (90 s), so that it closes first and never writes into a closing one.
        held_bytes: What the larger bodies that are being read may have in memory together.
    """

    connections: int = 256
    handshake_s: float = 5.0
    head_s: float = 10.0
    body_s: float = 10.0
    answer_s: float = 10.0
    idle_s: float = 120.0
    held_bytes: int = 64 * 1024 * 1024
