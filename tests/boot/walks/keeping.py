"""docs/tasks: backup and restore, upgrade and the way back, another host, and metrics for one."""

import re

from host import Host
from pages import blocks, replaced

from .failing import accepted_while_away, arrives_once


def backup(host: Host):
    back_up, restore = blocks("docs/tasks/backup.md", "sh")
    host.application_away()
    first = accepted_while_away(host)
    host.follow(back_up)
    assert host.stat("/var/lib/dmz-relay/backup.db") == "dmz-relay:dmz-relay 600"
    accepted_while_away(host)
    # Nobody listens behind it, which `status` in the end may know already.
    said = host.sh(restore.text).says("running")
    assert said.code in (0, 1), said
    host.application()
    arrives_once(host, first)
    host.sh("sudo rm /var/lib/dmz-relay/backup.db").exits(0)
    host.serves()


def upgrade(host: Host):
    there, back = blocks("docs/tasks/upgrade.md", "sh")
    host.follow(there).says("running")
    host.serves()
    host.follow(back).says("running")
    host.serves()
    host.sh(
        "sudo rm /usr/bin/dmz-relay.before /var/lib/dmz-relay/before-upgrade.db /var/lib/dmz-relay/after-upgrade.db"
    ).exits(0)


def another_host(host: Host):
    """The host is wiped between the page's two halves, as if its archive had been copied to a new one."""
    pack, unpack = blocks("docs/tasks/moving.md", "sh")
    host.application_away()
    waiting = accepted_while_away(host)
    host.follow(pack)
    host.sh("sudo rm -r /etc/dmz-relay /var/lib/dmz-relay && sudo systemd-tmpfiles --create").exits(0)
    host.application()
    # The application is there again, and takes what waits while `status` is asked.
    host.follow(unpack).says("running")
    arrives_once(host, waiting)
    host.serves()
    assert host.machine.sh("ls /var/backups/dmz-relay").code != 0


def other_pages(host: Host):
    """Commands that change nothing: an unprivileged user may give each of them, and each finds something."""
    for page in ("address-lists.md", "host-sizes.md", "load-balancers.md", "siem.md"):
        _finds_something(host, page)


def _finds_something(host: Host, page: str):
    for block in blocks(f"docs/tasks/{page}", "sh"):
        said = host.follow(block)
        assert "ermission denied" not in said.text and said.text.strip() != "null", f"{block}\n{said}"
        # No list refused anybody here.
        assert said.text.strip() or page == "address-lists.md", f"{block} says nothing\n{said}"


def firewall(host: Host):
    """The page's rules, loaded: what the configuration needs passes, and nothing else that the relay's user sends."""
    _finds_something(host, "firewall.md")
    host.serves()
    host.sh("sudo dmz-relay firewall check").exits(0).says("are as the configuration says")
    refused = host.machine.sh("runuser -u dmz-relay -- curl --silent --show-error --max-time 5 http://10.0.1.21/")
    assert refused.code not in (0, 28), f"it was not refused at once\n{refused}"
    rules = host.machine.sh("nft list chain inet dmz_relay output").exits(0).text
    assert re.search(r"counter packets [1-9][0-9]* bytes [0-9]+ reject ", rules), rules
    host.sh("sudo nft add rule inet dmz_relay input tcp dport 22 accept").exits(0)
    host.sh("sudo dmz-relay firewall check").exits(1).says("unexpected rule: input: tcp dport 22 accept")
    # As the page of uninstalling has it.
    host.sh("sudo nft delete table inet dmz_relay").exits(0)
    host.sh("sudo dmz-relay firewall check").exits(1).says("the table is not loaded")
    host.sh("sudo rm /etc/dmz-relay/firewall.nft").exits(0)
    host.serves()


def scraped(host: Host):
    """The metrics, from the address that the page has."""
    before = host.config()
    toml, curl = blocks("docs/tasks/scraping.md", None, "Directly")
    address = re.search(r'scrape_address = "([0-9.]+):', toml.text)[1]
    host.machine.sh(f"ip address add {address}/32 dev lo").exits(0)
    host.edit(replaced(before, toml.text))
    host.follow(curl).says("dmz_relay_store_up 1")
    host.edit(before)
    host.sh("sudo systemctl restart dmz-relay").exits(0)
    host.serves()
