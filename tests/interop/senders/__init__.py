"""Clients that carry one request through TLS to the relay, each in its own manner.

Each takes where the relay is and what to send, and gives what came back. None retries, follows or repairs anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from message import Message, Reply

# Longest wait for anything on the wire. Only a broken relay comes near it.
TIMEOUT = 20


@dataclass(frozen=True)
class Destination:
    """Where the relay's listener is: an address to connect to, a name to ask for, and whom to trust for it."""

    address: str
    port: int
    host: str
    authority: Path

    @property
    def host_and_port(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Sender:
    """A client, the name under which a report speaks of it, and the version of HTTP in which it must be answered."""

    name: str
    version: str
    send: Callable[[Destination, Message], Reply]


def all_senders() -> tuple[Sender, ...]:
    from senders import curl, http1, http2, raw

    return (
        Sender("curl_http1", "1.1", curl.http1),
        Sender("curl_http2", "2", curl.http2),
        Sender("http_client", "1.1", http1.send),
        Sender("httpx_http2", "2", http2.send),
        Sender("raw_chunked", "1.1", raw.chunked),
        Sender("raw_expecting", "1.1", raw.expecting),
        Sender("raw_trickling", "1.1", raw.trickling),
    )
