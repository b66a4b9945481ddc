"""A TLS socket and bytes written by hand: framings that well-behaved libraries rarely show."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from message import Message, Reply
from senders import TIMEOUT, Destination

# Sizes of chunks, in turn. One byte, and one more than a TLS record holds, are among them.
CHUNKS = (1, 7, 16385, 2, 4096)
# So many bytes go one by one, each in a TLS record of its own; the rest in pieces that match no boundary.
SINGLE_BYTES = 700
PIECE = 997


def chunked(to: Destination, request: Message) -> Reply:
    """The body in chunks of odd sizes, without a length."""
    with _connected(to) as (connection, answers):
        connection.sendall(_head(to, request, ("Transfer-Encoding", "chunked")))
        for chunk in _cut(request.body, CHUNKS):
            connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        connection.sendall(b"0\r\n\r\n")
        return _reply(answers)


def expecting(to: Destination, request: Message) -> Reply:
    """Holds the body back until the relay says `100 Continue`."""
    length = ("Content-Length", str(len(request.body)))
    with _connected(to) as (connection, answers):
        if not request.body:
            connection.sendall(_head(to, request, length))
            return _reply(answers)
        connection.sendall(_head(to, request, length, ("Expect", "100-continue")))
        interim = _reply(answers)
        if interim.status != 100:
            return interim
        connection.sendall(request.body)
        return _reply(answers)


def trickling(to: Destination, request: Message) -> Reply:
    """Head and start of the body byte by byte."""
    message = whole(to, request)
    with _connected(to) as (connection, answers):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in _cut(message[:SINGLE_BYTES], (1,)):
            connection.sendall(byte)
        for piece in _cut(message[SINGLE_BYTES:], (PIECE,)):
            connection.sendall(piece)
        return _reply(answers)


def whole(to: Destination, request: Message) -> bytes:
    """The request as it goes over the wire, body and all."""
    return _head(to, request, ("Content-Length", str(len(request.body)))) + request.body


@contextmanager
def _connected(to: Destination) -> Iterator[tuple[ssl.SSLSocket, BinaryIO]]:
    context = ssl.create_default_context(cafile=str(to.authority))
    with (
        socket.create_connection((to.address, to.port), timeout=TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=to.host) as connection,
        connection.makefile("rb") as answers,
    ):
        yield connection, answers


def _head(to: Destination, request: Message, *framing: tuple[str, str]) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {to.host_and_port}"]
    lines += [f"{name}: {value}" for name, value in (*request.headers, *framing)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _cut(data: bytes, sizes: tuple[int, ...]) -> Iterator[bytes]:
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


def _reply(answers: BinaryIO) -> Reply:
    """One answer, interim ones included."""
    status_line = answers.readline().decode("latin-1").rstrip("\r\n")
    if not status_line:
        raise ConnectionError("the relay closed the connection without an answer")
    version, status, *_ = status_line.split(" ", 2)
    headers = {}
    while line := answers.readline().decode("latin-1").rstrip("\r\n"):
        name, value = line.split(":", 1)
        headers[name.strip().lower()] = value.strip()
    body = answers.read(int(headers.get("content-length", "0")))
    return Reply(int(status), version.removeprefix("HTTP/"), headers, body)
