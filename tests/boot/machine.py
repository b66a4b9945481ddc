"""A machine with a systemd of its own: made of Debian's packages, booted by systemd-nspawn, entered by nsenter."""

import json
import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# What a server has, and what the pages call. No man pages, no recommendations.
PACKAGES = "systemd,systemd-sysv,dbus,sudo,curl,ca-certificates,openssl,jq,iproute2,nftables"

# Longest wait for something that happens by itself within a second or two. Only a fault comes near it.
DEADLINE = 30


# Of the host's own nothing comes along.
ENVIRONMENT = {"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "TERM": "dumb"}


@dataclass(frozen=True)
class Said:
    """What a command printed on both streams, in its order, and how it ended."""

    command: str
    text: str
    code: int

    def exits(self, code: int) -> "Said":
        assert self.code == code, f"exit code {self.code} instead of {code}\n{self}"
        return self

    def says(self, *parts: str) -> "Said":
        # Long lines are folded to the width of a terminal.
        folded = " ".join(self.text.split())
        for part in parts:
            assert " ".join(part.split()) in folded, f"it does not say {part!r}\n{self}"
        return self

    def json(self):
        return json.loads(self.text)

    def __str__(self) -> str:
        return f"$ {self.command}\n{self.text}[exit code {self.code}]"


def until(what: str, condition, seconds: float = DEADLINE):
    """Waits until `condition` gives something true, and gives that."""
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        assert time.monotonic() < deadline, f"in {seconds} s not: {what}"
        time.sleep(0.05)


def make(root: Path, base: Path | None):
    """Puts the distribution into an empty folder: what `base` holds of an earlier run, or a new one."""
    made = base or root.with_suffix(".tar")
    if not made.exists():
        _make(made)
    root.mkdir()
    subprocess.run(["tar", "-C", root, "-xf", made], check=True)
    if not base:
        made.unlink()


def _make(archive: Path):
    command = ["mmdebstrap", "--quiet", "--variant=minbase", '--aptopt=Acquire::Languages "none"']
    command += [f"--include={PACKAGES}", _release(), str(archive)]
    work = archive.with_suffix(".work")
    work.mkdir()
    # In memory: dpkg syncs after each file, which costs more than the rest. The mount ends with the command.
    script = f"mount -t tmpfs -o size=3g tmpfs {work} && TMPDIR={work} exec {shlex.join(command)}"
    try:
        subprocess.run(["unshare", "--mount", "sh", "-c", script], check=True)
    finally:
        work.rmdir()


def _release() -> str:
    """The host's own: the relay was built there, and may need a libc that an older release has not."""
    lines = Path("/etc/os-release").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values.get("VERSION_CODENAME", "bookworm") if values.get("ID") in ("debian", "ubuntu") else "bookworm"


def _shell(script: str, umask: str, folder: str) -> str:
    return f"set -e; umask {umask}; cd {folder}\n{script}"


class Machine:
    """Runs from `boot()` to `power_off()`."""

    def __init__(self, root: Path):
        self.root = root
        self.leader = 0
        self._nspawn = None
        self._console = root.with_suffix(".console")

    def boot(self):
        self.path("/etc/hostname").write_text("relay\n")
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network"]
        command += ["--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off"]
        with self._console.open("wb") as console:
            self._nspawn = subprocess.Popen(
                [*command, f"--directory={self.root}"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                # A session of its own: Ctrl-C on the test ends the machine properly, and not at once.
                start_new_session=True,
            )
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        try:
            self.leader = until("the machine's first process", lambda: self._first(children))
            until("a booted systemd", self._is_up)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.console()}") from error

    def _first(self, children: Path) -> int:
        assert self._nspawn.poll() is None, f"systemd-nspawn ended with {self._nspawn.returncode}"
        for child in children.read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return 0

    def _is_up(self) -> bool:
        assert self._nspawn.poll() is None, f"systemd-nspawn ended with {self._nspawn.returncode}"
        state = self.sh("systemctl is-system-running || true").text.strip()
        assert state != "degraded", self.sh("systemctl --failed --no-pager").text
        return state == "running"

    def console(self) -> str:
        return self._console.read_text(errors="replace")[-8000:]

    def enter(self, *namespaces: str) -> list[str]:
        """The start of a command that is to be run with these namespaces of the machine."""
        return ["nsenter", f"--target={self.leader}", *(f"--{name}" for name in namespaces), "--"]

    def sh(self, script: str, user: str = "root", umask: str = "022", folder: str = "~") -> Said:
        """Runs a script as a login shell of this user would."""
        done = subprocess.run(
            self._login(_shell(script, umask, folder), user), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=ENVIRONMENT, timeout=4 * DEADLINE, check=False,
        )
        return Said(f"({user}) {script}", done.stdout.decode(errors="replace"), done.returncode)

    def type(self, script: str, reader: str, typed: str, user: str, umask: str, folder: str) -> Said:
        """The same on a terminal. `typed` is typed, and then Ctrl-D, as soon as the program `reader` waits for it."""
        shell = shlex.join(["bash", "-c", _shell(script, umask, folder)])
        terminal = shlex.join(["script", "--quiet", "--return", "--command", shell, "/dev/null"])
        process = subprocess.Popen(
            self._login(terminal, user), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
        )
        # What is typed earlier is lost: sudo empties the terminal's queue when it hands the terminal on.
        until(f"{reader} waits for what is typed", lambda: process.poll() is not None or self._waits(reader))
        text, _ = process.communicate(f"{typed}\n\x04".encode(), timeout=DEADLINE)
        return Said(f"({user}) {script}", text.decode(errors="replace").replace("\r\n", "\n"), process.returncode)

    def _waits(self, reader: str) -> bool:
        own = os.readlink(f"/proc/{self.leader}/ns/pid")
        for process in Path("/proc").glob("[0-9]*"):
            try:
                name, state = (process / "stat").read_text().partition("(")[2].rsplit(")", 1)
                if name == reader and state.split()[0] == "S" and os.readlink(process / "ns/pid") == own:
                    return True
            except OSError:
                continue
        return False

    def _login(self, shell: str, user: str) -> list[str]:
        namespaces = self.enter("mount", "uts", "ipc", "net", "pid", "cgroup")
        return [*namespaces, "runuser", "--login", user, "--shell", "/bin/bash", "--command", shell]

    def path(self, path: str) -> Path:
        """A file of the machine's own disk. What is mounted in it is not seen."""
        return self.root / path.lstrip("/")

    def power_off(self):
        if self._nspawn and self._nspawn.poll() is None:
            # nspawn asks the machine's systemd to power off.
            self._nspawn.terminate()
            try:
                self._nspawn.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
