"""Starts that fail, and files that are wrong: a failed unit, once, with its reason at priority err."""

import shutil

from host import CONFIG, ERROR, WARNING, Host
from machine import until

SECRET = "/etc/dmz-relay/secrets/github"


def fails_to_start(host: Host, *reason: str):
    """A failed unit that monitoring sees, and the reason at a priority that it reads."""
    host.sh("sudo systemctl stop dmz-relay").exits(0)
    mark = host.mark()
    assert host.sh("sudo systemctl start dmz-relay").code != 0
    until("a failed unit", lambda: host.unit("ActiveState") == "failed")
    failed = host.machine.sh("systemctl --failed --no-legend --plain").text
    assert "dmz-relay.service" in failed, failed
    host.machine.sh("dmz-relay status").exits(2)
    loud = [line["message"] for line in host.journal(mark) if line["priority"] <= ERROR]
    text = " ".join(" ".join(loud).split())
    for part in reason:
        assert part in text, f"no line at priority err says {part!r}\n{host.last()}"
    starts = [line for line in host.journal(mark) if line["message"].startswith("Starting dmz-relay")]
    assert len(starts) == 1, f"{len(starts)} starts\n{host.last()}"


def starts_again(host: Host):
    host.sh("sudo systemctl start dmz-relay").exits(0)
    host.serves()
    host.status(0)


def wrong_modes(host: Host):
    """What root reads and the service cannot, `check` as root says. What everyone can read is refused."""
    host.machine.sh(f"chgrp root {CONFIG} && chmod 640 {CONFIG}").exits(0)
    host.sh("sudo dmz-relay check").exits(1).says("relay.toml", "dmz-relay")
    fails_to_start(host, "relay.toml", "may not be read by the relay's user")
    host.machine.sh(f"chgrp dmz-relay {CONFIG}").exits(0)
    starts_again(host)

    # A secret that was written under umask 077 by root: noticed while it runs, and nothing changes.
    host.machine.sh(f"cp {SECRET} {SECRET}.kept; chgrp root {SECRET}; chmod 600 {SECRET}").exits(0)
    host.sh("sudo dmz-relay check").exits(1).says("secrets/github")
    assert host.sh("sudo systemctl reload dmz-relay").code != 0
    host.serves()
    fails_to_start(host, "secrets/github")
    host.machine.sh(f"chgrp dmz-relay {SECRET}; chmod 644 {SECRET}").exits(0)
    host.sh("sudo dmz-relay check").exits(1).says("secrets/github")
    fails_to_start(host, "secrets/github")
    host.machine.sh(f"chmod 640 {SECRET}; rm {SECRET}.kept").exits(0)
    starts_again(host)


def expired_certificate(host: Host):
    """Loud, and no reload waits for it; a good one is not replaced by one that has expired."""
    certs = host.machine.path("/etc/dmz-relay/certs")
    host.certificate("expired.crt", "expired.key", -1)
    host.machine.sh("cp -a /etc/dmz-relay/certs /var/tmp/certs").exits(0)
    mark = host.mark()
    for name in ("crt", "key"):
        shutil.copyfile(host.scratch / f"expired.{name}", certs / f"relay.{name}")
    host.sh("sudo dmz-relay check").says("expired")
    assert host.sh("sudo systemctl reload dmz-relay").code != 0
    host.logged(mark, "config_kept")
    host.serves()
    # At a start there is no better one.
    mark = host.mark()
    host.sh("sudo systemctl restart dmz-relay").exits(0)
    warning = host.logged(mark, "config_warning")
    assert "expired" in warning["warning"] and warning["priority"] <= WARNING, warning
    host.status(1).says("has expired", "renew it")
    status, known = host.github(more="--insecure")
    assert status == 200
    host.arrives(known)
    # Another change is taken all the same.
    before = host.config()
    host.edit(before.replace("[routes.github]", "[routes.github]\ndescription = \"GitHub\""))
    host.sh("sudo systemctl reload dmz-relay").exits(0)
    host.edit(before)
    host.machine.sh("cp -a /var/tmp/certs/. /etc/dmz-relay/certs/ && rm -r /var/tmp/certs").exits(0)
    host.sh("sudo systemctl reload dmz-relay").exits(0)
    host.serves()
    host.status(0)


def port_in_use(host: Host):
    host.sh("sudo systemctl stop dmz-relay").exits(0)
    other = host.other_program(443)
    try:
        said = host.sh("sudo dmz-relay check")
        assert said.code == 0 or "use" in said.text, said
        fails_to_start(host, "443", "ddress already in use")
        # The page's own advice finds it.
        host.sh("sudo ss -ltnp 'sport = :443'").exits(0).says(":443")
    finally:
        other()
    starts_again(host)
