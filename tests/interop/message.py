"""A request as one side sent it or the other side saw it, and what came back."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Message:
    """A request. `target` is path and query exactly as they stand in the request line."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Every value of a header, whatever the case of its name."""
        return [value for other, value in self.headers if other.lower() == name.lower()]

    def value(self, name: str) -> str:
        """The value of a header that stands there once; anything else is empty."""
        values = self.values(name)
        return values[0] if len(values) == 1 else ""

    def with_body(self, body: bytes) -> "Message":
        return replace(self, body=body)

    def with_target(self, target: str) -> "Message":
        return replace(self, target=target)


@dataclass(frozen=True)
class Reply:
    """What the relay answered. `version` is "1.1" or "2"."""

    status: int
    version: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")
