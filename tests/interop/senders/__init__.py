"""Clients that carry one request through TLS to the relay, each in its own manner.

Each is a function from where the relay is and what to send to what came back. None retries, follows or repairs anything.
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


Sender = Callable[[Destination, Message], Reply]


def all_senders() -> dict[str, Sender]:
    """By the name under which a report speaks of each."""
    from senders import curl, http1, http2, raw

    return {
        "curl_http1": curl.http1,
        "curl_http2": curl.http2,
        "http_client": http1.send,
        "httpx_http2": http2.send,
        "raw_chunked": raw.chunked,
        "raw_expecting": raw.expecting,
        "raw_trickling": raw.trickling,
    }
