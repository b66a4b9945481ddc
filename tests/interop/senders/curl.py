"""curl, the client that most people try first."""

import subprocess
import tempfile
from pathlib import Path

from message import Message, Reply
from senders import TIMEOUT, Destination


def http1(to: Destination, request: Message) -> Reply:
    return _send(to, request, "--http1.1")


def http2(to: Destination, request: Message) -> Reply:
    return _send(to, request, "--http2")


def _send(to: Destination, request: Message, version: str) -> Reply:
    with tempfile.TemporaryDirectory(prefix="dmz-relay-curl-") as folder:
        head, body = Path(folder, "head"), Path(folder, "body")
        # --disable keeps a developer's ~/.curlrc out.
        command = ["curl", "--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(TIMEOUT)]
        command += [version, "--cacert", str(to.authority), "--resolve", f"{to.host_and_port}:{to.address}"]
        command += ["--dump-header", str(head), "--output", str(body), "--write-out", "%{http_code} %{http_version}"]
        command += ["--request", request.method, "--path-as-is"]
        for name, value in request.headers:
            command += ["--header", f"{name}: {value}"]
        if request.body:
            command += ["--data-binary", "@-"]
        command.append(f"https://{to.host_and_port}{request.target}")
        done = subprocess.run(command, input=request.body, capture_output=True, check=False)
        if done.returncode != 0:
            raise ConnectionError(f"curl ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
        status, version = done.stdout.decode().split()
        return Reply(int(status), version, _last_head(head.read_text("latin-1")), _content(body))


def _last_head(text: str) -> dict[str, str]:
    """The fields of the final answer; a `100 Continue` may stand before it."""
    lines = text.strip().split("\r\n\r\n")[-1].splitlines()[1:]
    pairs = (line.split(":", 1) for line in lines)
    return {name.strip().lower(): value.strip() for name, value in pairs}


def _content(path: Path) -> bytes:
    """curl makes no file for an empty body."""
    return path.read_bytes() if path.exists() else b""
