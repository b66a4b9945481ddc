"""The real binary as an operator runs it: a folder with relay.toml, certificates and secrets, and a process."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from certificates import HOST, Certificates
from message import Message
from senders import Destination, raw

# Longest wait for the process. Only a broken relay comes near it.
DEADLINE = 30


@dataclass(frozen=True)
class Route:
    """A route of a provider with a current and a previous secret. `lines` are added to its table.

    `inside` are the secrets that the relay signs with toward the internal server. `ids` are those of the two secrets.
    """

    name: str
    provider: str
    current: str
    previous: str
    lines: str = ""
    inside: tuple[str, ...] = ()
    ids: tuple[str, str] = ("current", "previous")

    @property
    def path(self) -> str:
        return f"/hooks/{self.name}"

    def files(self) -> dict[str, str]:
        """The secrets by the names of their files."""
        inside = {f"{self.name}.inside{number}": secret for number, secret in enumerate(self.inside)}
        return {self.name: self.current, f"{self.name}.previous": self.previous, **inside}

    def toml(self) -> str:
        inside = [f'{{ file = "secrets/{name}" }}' for name in self.files() if ".inside" in name]
        sign_with = f"sign_with = [{', '.join(inside)}]" if inside else ""
        return f"""
[routes.{self.name}]
path = "{self.path}"
provider = "{self.provider}"
{self._keys()}
upstream = "inside"
{sign_with}
{self.lines}
"""

    def _keys(self, member: str = "secrets", end: str = "") -> str:
        names = (f"{self.name}{end}", f"{self.name}.previous{end}")
        files = (f'{{ file = "secrets/{name}", id = "{key}" }}' for name, key in zip(names, self.ids, strict=True))
        return f"{member} = [{', '.join(files)}]"


@dataclass(frozen=True)
class KeyRoute(Route):
    """A route of a provider that signs with a private key: `current` and `previous` are private keys as PEM.

    `public` are the public ones as the provider shows them, and all that the relay is given.
    """

    public: tuple[str, str] = ("", "")

    def public_files(self) -> dict[str, str]:
        return dict(zip((f"{self.name}.public", f"{self.name}.previous.public"), self.public, strict=True))

    def _keys(self) -> str:
        return super()._keys("public_keys", ".public")


class Relay:
    """Serves from `Relay(...)` to `stop()`."""

    def __init__(self, binary: Path, folder: Path, certificates: Certificates, inside: str, routes: list[Route]):
        self._binary = binary
        self.config = folder / "relay.toml"
        self.secrets = [secret for route in routes for secret in route.files().values()]
        _write(self.config, folder, certificates, inside, routes)
        self._log: list[str] = []
        self._events: list[dict] = []
        self._ended = False
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [binary, "run", "--config", self.config], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, name="relay's log", daemon=True)
        self._reader.start()
        try:
            line = self.event(lambda line: line.get("event") == "listening" and line.get("listener") == "public")
        except BaseException:
            self._process.kill()
            raise
        address, _, port = line["address"].rpartition(":")
        self.destination = Destination(address, int(port), HOST, certificates.authority)

    def secret(self, route: str) -> Path:
        """The file of a route's current secret."""
        return self.config.parent / "secrets" / route

    def log(self) -> str:
        with self._changed:
            return "".join(self._log)

    def events(self) -> list[dict]:
        """The log's lines so far; one that is not JSON becomes the event `unreadable`."""
        with self._changed:
            return list(self._events)

    def event(self, wanted: Callable[[dict], bool]) -> dict:
        """The first line that fits, now or within the deadline."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or any(map(wanted, self._events)), DEADLINE)
            found = next(filter(wanted, self._events), None)
        if found is None:
            raise AssertionError(f"the relay never wrote the line that was waited for; its log:\n{self.log()[-4000:]}")
        return found

    def send(self, route: str, body: bytes, *arguments: str) -> subprocess.CompletedProcess:
        """`dmz-relay send ROUTE` to this relay, whose port only its log knows."""
        to = f"{self.destination.address}:{self.destination.port}"
        command = [self._binary, "send", route, "--config", self.config, "--connect", to]
        command += ["--cacert", self.destination.authority, "--data", "@-", *arguments]
        return subprocess.run(command, input=body, capture_output=True, timeout=DEADLINE, check=False)

    def verify(self, route: str, request: Message) -> subprocess.CompletedProcess:
        """`dmz-relay verify`, which needs no running relay."""
        command = [self._binary, "verify", "--route", route, "--config", self.config, "--request", "-"]
        request = raw.whole(self.destination, request)
        return subprocess.run(command, input=request, capture_output=True, timeout=DEADLINE, check=False)

    def stop(self) -> int:
        """Asks politely, as systemd does, and gives the exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(DEADLINE)
        return code

    def _read(self):
        for line in self._process.stderr:
            event = _parsed(line)
            with self._changed:
                self._log.append(line)
                self._events.append(event)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _parsed(line: str) -> dict:
    try:
        return json.loads(line)
    except ValueError:
        return {"event": "unreadable", "line": line}


def _write(config: Path, folder: Path, certificates: Certificates, inside: str, routes: list[Route]):
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    for route in routes:
        public = route.public_files() if isinstance(route, KeyRoute) else {}
        for name, secret in (route.files() | public).items():
            file = secrets / name
            file.touch(mode=0o600)
            file.write_text(secret)
    head = f"""
[[listeners]]
name = "public"
address = "127.0.0.1:0"
[listeners.tls]
certificates = [{{ chain = "{certificates.chain}", key = "{certificates.key}" }}]

[log]
format = "json"
refusals_per_second = 100000

[upstreams.inside]
servers = ["{inside}"]
"""
    config.write_text(head + "".join(route.toml() for route in routes))
