"""From a clean clone to a delivered request by README.md, and back to a clean host by docs/tasks/uninstall.md."""

import re
import secrets

from host import ALICE, CONFIG, INSIDE, NAME, WARNING, Host
from pages import CHECKOUT, Block, blocks

README = (CHECKOUT / "README.md").read_text()

# Owner, group and mode, whatever the umask of whoever installed.
INSTALLED = {
    "/usr/bin/dmz-relay": "root:root 755",
    "/etc/systemd/system/dmz-relay.service": "root:root 644",
    "/etc/dmz-relay": "root:dmz-relay 750",
    "/etc/dmz-relay/certs": "root:dmz-relay 750",
    "/etc/dmz-relay/secrets": "root:dmz-relay 750",
    "/etc/dmz-relay/lists": "root:dmz-relay 750",
    "/etc/dmz-relay/credentials": "root:root 700",
    "/usr/local/share/man/man1": "root:root 755",
    "/usr/local/share/man/man1/dmz-relay.1": "root:root 644",
    "/usr/local/share/man/man5/relay.toml.5": "root:root 644",
    "/var/lib/dmz-relay": "dmz-relay:dmz-relay 700",
    "/run/dmz-relay": "dmz-relay:dmz-relay-admin 2750",
}
FURNISHED = {
    CONFIG: "root:dmz-relay 640",
    "/etc/dmz-relay/certs/relay.crt": "root:dmz-relay 640",
    "/etc/dmz-relay/certs/relay.key": "root:dmz-relay 640",
    "/etc/dmz-relay/secrets/github": "root:dmz-relay 640",
}
RUNNING = {
    "/run/dmz-relay/admin.sock": "dmz-relay:dmz-relay-admin 660",
    "/var/lib/dmz-relay/relay.db": "dmz-relay:dmz-relay 600",
}


def has(host: Host, expected: dict[str, str]):
    for path, rights in expected.items():
        found = host.stat(path)
        assert found == rights, f"{path}: {found} instead of {rights}"


def install(host: Host, user: str, umask: str):
    """The README, step by step."""
    host.clone(user, umask)
    # Rust is not on this machine. The binary was built from the same sources on the one that tests.
    cargo = host.machine.path("/usr/local/bin/cargo")
    cargo.write_text('#!/bin/sh\n[ "$*" = "build --release" ] && [ -x target/release/dmz-relay ]\n')
    cargo.chmod(0o755)
    build, init, furnish, start = blocks("README.md", "sh", "Ten minutes")
    assert f"http://{INSIDE[0]}:{INSIDE[1]}" in init.text and NAME in init.text, init.text
    host.application()
    host.forget()
    mark = host.mark()

    host.follow(build)
    has(host, INSTALLED)
    said = host.follow(init)
    for command in re.findall(r"^  (sudo .*)$", said.text, re.MULTILINE):
        pages = re.sub(r" +", " ", furnish.text + start.text)
        assert command in pages, f"init says {command!r}, and the README does not"
    host.secret = secrets.token_hex(32)
    host.follow(furnish, host.secret)
    has(host, FURNISHED)
    typed = host.machine.path("/etc/dmz-relay/secrets/github").read_text()
    assert typed.strip() == host.secret, "what was typed is not what was stored"
    said = host.follow(start)
    said.says("fine:", "200")
    sent = host.arrived("Keep it logically awesome.")
    assert len(sent) == 1 and sent[0]["body"] in start.text, sent
    has(host, RUNNING)
    assert host.unit("ActiveState") == "active" and host.unit("UnitFileState") == "enabled"
    loud = [line["message"] for line in host.journal(mark) if line["priority"] <= WARNING]
    assert not loud, loud
    assert host.unit("NRestarts") == "0"
    host.serves()
    refused, known = host.github(secret="somebody else's")
    assert refused == 401 and not host.arrived(known), refused


def another_provider(host: Host):
    """What `init` prints for a provider that publishes its addresses, with a private certificate, command by command."""
    folder, kept = "/etc/dmz-relay", "/var/tmp/kept"
    host.sh("sudo systemctl stop dmz-relay").exits(0)
    host.machine.sh(f"mkdir {kept} && mv {folder}/relay.toml {folder}/certs {kept}").exits(0)
    host.forget()
    init = f"sudo dmz-relay init --provider stripe --upstream http://{INSIDE[0]}:{INSIDE[1]} --host {NAME}"
    said = host.sh(f"{init} --private-certificate").exits(0)
    commands = re.findall(r"^  (sudo .*)$", said.text, re.MULTILINE)
    assert len(commands) == 4 and "send stripe" in commands[-1], commands
    printed = Block("init", 0, "sh", "".join(f"{command}\n" for command in commands))
    host.follow(printed, f"whsec_{secrets.token_hex(16)}")
    assert len(host.arrived("")) == 1, "the command to try it is delivered"
    host.sh("sudo systemctl stop dmz-relay").exits(0)
    host.machine.sh(f"rm -r {folder}/relay.toml {folder}/certs {folder}/secrets/stripe").exits(0)
    host.machine.sh(f"mv {kept}/* {folder} && rmdir {kept}").exits(0)
    host.sh("sudo systemctl start dmz-relay").exits(0)
    host.serves()


def without_sudo(host: Host):
    """Whoever joins the group of the admin socket asks the relay without `sudo`; nobody else does."""
    said = host.sh("dmz-relay status")
    assert said.code == 2, said
    said.says("Permission denied", "join the group dmz-relay-admin")
    join = re.search(rf"`(sudo usermod -aG \S+ {ALICE})`", README)
    host.sh(join[1]).exits(0)
    host.sh("dmz-relay status").exits(0).says("running")
    events = host.sh("dmz-relay events list --format json").exits(0).json()["events"]
    assert events, "the README's request is in the history"
    forged = events[0]["id"]
    host.sh(f"dmz-relay events show {forged}").exits(0)
    # 2: its body was not kept, so that this cannot be judged again.
    host.sh(f"dmz-relay explain {forged}").exits(2).says("refused: signature_mismatch")
    # Keys and secrets stay out of reach.
    host.sh("cat /etc/dmz-relay/secrets/github").exits(1)


def uninstall(host: Host):
    """The page, step by step, and nothing is left."""
    mark = host.mark()
    for block in blocks("docs/tasks/uninstall.md", "sh"):
        host.follow(block)
    left = host.machine.sh(
        "find / -xdev \\( -path /proc -o -path /home -o -path /root \\) -prune "
        "-o -name '*dmz-relay*' -print -o -name 'relay.toml*' -print; find /run -name '*dmz-relay*'").exits(0).text
    assert not left.strip(), f"left behind: {left}"
    accounts = host.machine.sh("getent passwd dmz-relay; getent group dmz-relay dmz-relay-admin; true").text
    assert not accounts.strip(), f"left behind: {accounts}"
    units = host.machine.sh("systemctl list-units --all --no-legend 'dmz-relay*'; systemctl --failed --no-legend").text
    assert not units.strip(), f"left behind: {units}"
    listening = host.machine.sh("ss -Hltn 'sport = :443 or sport = :9600'").text
    assert not listening.strip(), f"left behind: {listening}"
    stopped = [line for line in host.journal(mark) if line.get("event") == "stopped"]
    assert stopped and not stopped[0].get("unfinished"), stopped
