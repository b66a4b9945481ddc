"""Ways to open: credentials of systemd's, the store's key, the port that systemd holds."""

import re
import secrets

from host import CONFIG, STORE, Host
from pages import blocks, replaced

DROP_IN = "/etc/systemd/system/dmz-relay.service.d/credentials.conf"


def credentials(host: Host):
    """The unit's own comment, with a secret that only root can read."""
    before, unit = host.config(), host.machine.path("/etc/systemd/system/dmz-relay.service").read_text()
    line = re.search(r"^#(LoadCredential=github:(\S+))$", unit, re.MULTILINE)
    drop_in(host, line[1])
    host.sh(f"sudo install -m 600 /etc/dmz-relay/secrets/github {line[2]}").exits(0)
    host.sh("sudo mv /etc/dmz-relay/secrets/github /var/tmp/").exits(0)
    host.edit(before.replace('{ file = "secrets/github" }', '{ credential = "github" }'))
    host.sh(f"sudo dmz-relay check --config {CONFIG}").exits(0).says("credential")
    host.sh("sudo systemctl daemon-reload && sudo systemctl restart dmz-relay").exits(0)
    host.serves()
    host.status(0)
    assert host.machine.sh(f"runuser -u dmz-relay -- cat {line[2]}").code != 0
    host.edit(before)
    host.sh("sudo mv /var/tmp/github /etc/dmz-relay/secrets/").exits(0)
    undo(host)


def store_key(host: Host):
    """docs/tasks/rotation.md: what is stored from then on is sealed."""
    page = blocks("docs/tasks/rotation.md", None, "The store's key")
    make, rotated, left = page
    before = host.config()
    host.follow(make)
    drop_in(host, "LoadCredential=store-key:/etc/dmz-relay/credentials/store-key")
    sealed = 'relay.db" }\nencryption_key = { credential = "store-key" }\n'
    host.edit(before.replace('relay.db" }\n', sealed))
    host.sh("sudo systemctl daemon-reload && sudo systemctl restart dmz-relay").exits(0)
    mark = secrets.token_hex(8)
    assert stored(host, mark) == 0, "a sealed body is in the file in clear text"
    # The new key in front, as the page's block has it.
    host.sh("sudo mv /etc/dmz-relay/credentials/store-key /etc/dmz-relay/credentials/store-key.old").exits(0)
    host.follow(make)
    drop_in(host, "LoadCredential=store-key.new:/etc/dmz-relay/credentials/store-key",
            "LoadCredential=store-key:/etc/dmz-relay/credentials/store-key.old")
    host.edit(replaced(before, rotated.text))
    host.sh("sudo systemctl daemon-reload && sudo systemctl restart dmz-relay").exits(0)
    host.application()
    host.serves()
    host.follow(left)
    host.edit(before)
    host.sh("sudo rm /etc/dmz-relay/credentials/store-key /etc/dmz-relay/credentials/store-key.old").exits(0)
    undo(host)


def stored(host: Host, mark: str) -> int:
    """How often this is in the store's files while a request with it waits."""
    host.application_away()
    status, known = host.github({"mark": mark})
    assert status == 200
    found = host.machine.sh(f"cat {STORE}/relay.db* | grep --count --text {mark} || true").text.strip()
    host.application()
    host.arrives(known)
    return int(found)


def passed_socket(host: Host):
    """docs/tasks/port-443.md, second half: the relay has no capability, and a restart refuses no connection."""
    before = host.config()
    page = blocks("docs/tasks/port-443.md", None, "systemd opens the port")
    toml, enable = page
    host.edit(replaced(before, toml.text))
    host.follow(enable)
    host.serves()
    host.status(0)
    assert host.unit("ActiveState", "dmz-relay.socket") == "active"
    process = host.unit("MainPID")
    rights = host.machine.sh(f"grep -E '^Cap(Eff|Prm|Bnd)' /proc/{process}/status").exits(0).text
    assert set(re.findall(r"[0-9a-f]{16}", rights)) == {"0" * 16}, rights
    # A connection of the moment in which there is no process waits in the kernel.
    host.sh("sudo systemctl restart --no-block dmz-relay").exits(0)
    host.serves()
    assert host.unit("MainPID") != process
    # Back to the port of its own.
    host.sh("sudo systemctl disable --now dmz-relay.socket dmz-relay.service").exits(0)
    host.sh("sudo rm /etc/systemd/system/dmz-relay.socket /etc/systemd/system/dmz-relay.service.d/socket.conf").exits(0)
    host.edit(before)
    host.sh("sudo systemctl daemon-reload && sudo systemctl enable --now dmz-relay").exits(0)
    host.serves()


def drop_in(host: Host, *lines: str):
    """What `systemctl edit dmz-relay` writes."""
    path = host.machine.path(DROP_IN)
    path.parent.mkdir(exist_ok=True)
    path.write_text("[Service]\n" + "".join(f"{line}\n" for line in lines))


def undo(host: Host):
    host.machine.sh(f"rm -f {DROP_IN}; rmdir --ignore-fail-on-non-empty {DROP_IN.rpartition('/')[0]}").exits(0)
    host.sh("sudo systemctl daemon-reload && sudo systemctl restart dmz-relay").exits(0)
    host.serves()
