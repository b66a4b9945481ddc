"""A host in the DMZ with everything around it: its operator, a provider outside, the application inside."""

import hashlib
import hmac
import json
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

from machine import Machine, Said, until
from pages import CHECKOUT, Block

ALICE = "alice"
# From the README's `init`.
NAME = "hooks.example.com"
INSIDE = ("10.0.1.20", 8080)
CONFIG = "/etc/dmz-relay/relay.toml"
STORE = "/var/lib/dmz-relay"
# What a clean clone has that the pages use.
CLONED = ("README.md", "CHANGELOG.md", "relay.toml", "systemd", "certs", "docs")

DAY = 24 * 3600
AUTHORITY = f"""
[ca]
default_ca = authority
[authority]
new_certs_dir = .
database = index.txt
unique_subject = no
rand_serial = yes
default_md = sha256
policy = policy
x509_extensions = leaf
[policy]
commonName = supplied
[leaf]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:{NAME}
"""

# Journal priorities.
ERROR, WARNING = 3, 4


class Host:
    """`operator` is who follows the pages, with the umask that they have."""

    def __init__(self, machine: Machine, binary: Path, scratch: Path):
        self.machine = machine
        self.operator, self.umask = ALICE, "027"
        self.secret = ""
        self._binary = binary
        self.scratch = scratch
        self._log = scratch / "application.log"
        self._application = None
        self.machine.sh(f"useradd --create-home --shell /bin/bash {ALICE}").exits(0)
        # As `usermod -aG sudo` and a password would, but without the password.
        sudoers = machine.path(f"/etc/sudoers.d/{ALICE}")
        sudoers.write_text(f"{ALICE} ALL=(ALL:ALL) NOPASSWD: ALL\n")
        sudoers.chmod(0o440)
        self._network()
        machine.path("/etc/hosts").write_text(f"127.0.0.1 localhost relay {NAME}\n")
        self._authority()

    def _network(self):
        """The internal network ends on this host's own interface, where the application listens."""
        self.machine.sh(f"ip link set lo up; ip address add {INSIDE[0]}/24 dev lo").exits(0)

    def reboot(self):
        self.application_away()
        self.machine.power_off()
        self.machine.boot()
        self._network()

    # Whoever follows a page.

    def sh(self, script: str) -> Said:
        """As the operator, in the folder of the clone."""
        return self.machine.sh(script, self.operator, self.umask, "~/dmz-relay")

    def follow(self, block: Block, typed: str = "") -> Said:
        """Does what a block says, line by line where something is typed. Everything in it must succeed."""
        if "/dev/stdin" not in block.text or "|" in block.text:
            return self._followed(block, self.sh(block.text))
        for command in block.commands():
            if "/dev/stdin" in command:
                said = self.machine.type(command, "install", typed, self.operator, self.umask, "~/dmz-relay")
            else:
                said = self.sh(command)
            said = self._followed(block, said)
        return said

    def _followed(self, block: Block, said: Said) -> Said:
        assert said.code == 0, f"{block} fails\n{said}"
        return said

    def clone(self, user: str, umask: str):
        """A clean clone in the home of whoever builds it, with a binary that is built already."""
        self.operator, self.umask = user, umask
        self.machine.sh("mkdir -p dmz-relay/target/release dmz-relay/.ci", user, umask).exits(0)
        home = self.machine.sh("pwd", user).exits(0).text.strip()
        to = self.machine.path(f"{home}/dmz-relay")
        for name in CLONED:
            copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
            copy(CHECKOUT / name, to / name)
        shutil.copy(self._binary, to / "target/release/dmz-relay")
        for name in ("fullchain.pem", "privkey.pem"):
            shutil.copy(self.scratch / name, to / name)
        folder, file = f"{0o777 & ~int(umask, 8):o}", f"{0o666 & ~int(umask, 8):o}"
        self.machine.sh(
            f"chown -R {user}: {home}/dmz-relay; find {home}/dmz-relay -type d -exec chmod {folder} {{}} +; "
            f"find {home}/dmz-relay -type f -exec chmod {file} {{}} +; "
            f"chmod {folder} {home}/dmz-relay/target/release/dmz-relay"
        ).exits(0)

    # The provider.

    def _authority(self):
        """A certificate for the public name, by an authority that the provider trusts."""
        self.certificate("fullchain.pem", "privkey.pem", 90)
        trusted = self.machine.path("/etc/provider-trusts.pem")
        shutil.copy(self.scratch / "authority.pem", trusted)

    def certificate(self, chain: str, key: str, days: int):
        """`days` from now until it ends; of one that has ended, how many days ago."""
        def openssl(*arguments: str):
            subprocess.run(["openssl", *arguments], cwd=self.scratch, check=True, capture_output=True)
        elliptic = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
        if not (self.scratch / "authority.pem").exists():
            openssl("req", "-x509", *elliptic, "-days", "400", "-subj", "/CN=authority",
                    "-out", "authority.pem", "-keyout", "authority.key")
        openssl("req", "-new", *elliptic, "-subj", f"/CN={NAME}", "-out", "request.pem", "-keyout", key,
                "-addext", f"subjectAltName=DNS:{NAME}")
        (self.scratch / "index.txt").touch()
        (self.scratch / "ca.conf").write_text(AUTHORITY)
        start, end = sorted((time.time() - 100 * DAY if days < 0 else time.time() - 60, time.time() + days * DAY))
        dates = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(at)) for at in (start, end)]
        openssl("ca", "-batch", "-notext", "-config", "ca.conf", "-cert", "authority.pem", "-keyfile", "authority.key",
                "-startdate", dates[0], "-enddate", dates[1], "-in", "request.pem", "-out", chain)

    def serial(self, chain: str) -> str:
        command = ["openssl", "x509", "-noout", "-serial", "-in", chain]
        return subprocess.run(command, cwd=self.scratch, check=True, capture_output=True, text=True).stdout.strip()

    def github(self, body: dict | None = None, secret: str | None = None, more: str = "") -> tuple[int, str]:
        """A request as GitHub sends it: the status that it is answered, and what the application knows it by."""
        known = uuid.uuid4().hex
        text = json.dumps({"zen": "Keep it logically awesome.", "known": known, **(body or {})})
        key = (self.secret if secret is None else secret).encode()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        fields = {
            "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/044aadd", "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()), "X-Hub-Signature-256": f"sha256={signature}",
        }
        arguments = " ".join(f"-H '{name}: {value}'" for name, value in fields.items())
        said = self.machine.sh(
            f"curl -sS -m 20 -o /dev/null -w '%{{http_code}}' --cacert /etc/provider-trusts.pem {more} "
            f"{arguments} -d '{text}' https://{NAME}/hooks/github")
        assert said.text.isdigit(), said
        return int(said.text), known

    def serves(self, secret: str | None = None) -> str:
        """A genuine request is answered 200, and arrives."""
        status, known = self.github(secret=secret)
        assert status == 200, status
        self.arrives(known)
        return known

    # The application.

    def application(self, status: int = 200):
        """Starts it, with this status for every request."""
        self.application_away()
        program = [sys.executable, "-B", str(CHECKOUT / "tests/boot/application.py")]
        arguments = [INSIDE[0], str(INSIDE[1]), str(self._log), str(status)]
        self._application = subprocess.Popen([*self.machine.enter("net"), *program, *arguments])
        until("the application listens", lambda: self.machine.sh(f"ss -Hltn 'sport = :{INSIDE[1]}'").text)

    def forget(self):
        """What arrived so far is of another walk."""
        self._log.unlink(missing_ok=True)

    def application_away(self):
        if self._application:
            self._application.kill()
            self._application.wait()
            self._application = None

    def other_program(self, port: int):
        """Takes a port until the function that is given back is called."""
        listen = f"import socket, time; s = socket.create_server(('', {port})); print(flush=True); time.sleep(600)"
        program = subprocess.Popen([*self.machine.enter("net"), sys.executable, "-c", listen], stdout=subprocess.PIPE)
        program.stdout.readline()

        def end():
            program.kill()
            program.communicate()

        return end

    def arrived(self, known: str) -> list[dict]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [json.loads(line) for line in lines if known in line]

    def arrives(self, known: str) -> list[dict]:
        return until(f"{known} at the application", lambda: self.arrived(known))

    # The host itself.

    def config(self) -> str:
        return self.machine.path(CONFIG).read_text()

    def edit(self, text: str):
        """Written in place, as an editor of root's does: owner and mode stay."""
        self.machine.path(CONFIG).write_text(text)

    def unit(self, name: str, unit: str = "dmz-relay") -> str:
        return self.machine.sh(f"systemctl show --property={name} --value {unit}").exits(0).text.strip()

    def mark(self) -> int:
        """A place in the journal. What was logged before is not read again."""
        return len(self.journal())

    def journal(self, mark: int = 0) -> list[dict]:
        """What the journal has of the unit: the relay's lines as `event` and so on, and every line's priority."""
        said = self.machine.sh("journalctl --sync; journalctl --quiet --no-pager -o json -u dmz-relay").exits(0)
        lines = []
        for line in map(json.loads, said.text.splitlines()):
            message = line.get("MESSAGE") or ""
            try:
                fields = json.loads(message)
            except (ValueError, TypeError):
                fields = {}
            fields = fields if isinstance(fields, dict) else {}
            lines.append({"message": message, "priority": int(line["PRIORITY"]), **fields})
        return lines[mark:]

    def logged(self, mark: int, event: str) -> dict:
        """Waits for one line of the relay's."""
        found = until(f"{event} in the journal", lambda: [l for l in self.journal(mark) if l.get("event") == event])
        return found[-1]

    def last(self) -> str:
        return self.machine.sh("journalctl --no-pager -n 40 -u dmz-relay -u dmz-relay.socket").text

    def status(self, code: int = 0) -> Said:
        return self.machine.sh("dmz-relay status").exits(code)

    def stat(self, path: str) -> str:
        return self.machine.sh(f"stat -c '%U:%G %a' {path}").exits(0).text.strip()

