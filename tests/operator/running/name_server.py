"""A name server for a pod's network: knows the names of the stage, and that there are no others.

Clients that ask for IPv6 as well wait for seconds where nobody answers them.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from remora.testing.network import INTERNET_IPV4, INTERNET_IPV6, Namespace

_TYPE_A = 1
_RESPONSE, _NO_SUCH_NAME = 0x8580, 3
"""An authoritative response; RCODE of RFC 1035, 4.1.1."""


def dns_answer(query: bytes, addresses: Mapping[str, str]) -> bytes:
    """Answer one query (RFC 1035); other types than A have no data."""
    name, end = _name(query)
    question = query[12 : end + 4]
    (kind,) = struct.unpack_from("!H", query, end)
    address = addresses.get(name)
    records = b""
    if address is not None and kind == _TYPE_A:
        records = struct.pack("!HHHIH", 0xC00C, _TYPE_A, 1, 60, 4)
        records += ipaddress.IPv4Address(address).packed
    flags = _RESPONSE if address is not None else _RESPONSE | _NO_SUCH_NAME
    header = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if records else 0, 0, 0)
    return header + question + records


def _name(query: bytes) -> tuple[str, int]:
    """Return the name that is asked for, and where it ends."""
    labels, place = [], 12
    while length := query[place]:
        labels.append(query[place + 1 : place + 1 + length].decode("ascii").lower())
        place += 1 + length
    return ".".join(labels), place + 1


class _Server(asyncio.DatagramProtocol):
    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(dns_answer(data, self._addresses), addr)


@asynccontextmanager
async def serving_names(namespace: Namespace, addresses: Mapping[str, str]) -> AsyncIterator[None]:
    """Answer where the pod's resolv.conf says."""
    loop = asyncio.get_running_loop()
    transports = []
    for family, address in ((socket.AF_INET, INTERNET_IPV4), (socket.AF_INET6, INTERNET_IPV6)):
        sock = namespace.open_socket(family, socket.SOCK_DGRAM)
        sock.bind((address, 53))
        transport, _ = await loop.create_datagram_endpoint(lambda: _Server(addresses), sock=sock)
        transports.append(transport)
    try:
        yield
    finally:
        for transport in transports:
            transport.close()
