"""The relay on a real systemd: `python tests/boot --relay target/release/dmz-relay`.

Makes a Debian, boots it by systemd-nspawn, and follows the pages in it, from a clean clone to the uninstalled host.
`.ci/boot` installs what this needs and calls it; docs/testing.md says what is walked.
"""

import argparse
import functools
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from host import ALICE, Host
from machine import Machine, make
from walks import changing, failing, installing, keeping, opening, refusing

# In this order: each finds the relay serving, and leaves it serving.
WALKS = [
    ("install as an unprivileged user under umask 027", functools.partial(installing.install, user=ALICE, umask="027")),
    ("ask it without sudo", installing.without_sudo),
    ("another provider, by what init prints", installing.another_provider),
    ("a good reload", changing.good_reload),
    ("a bad reload", changing.bad_reload),
    ("another secret", changing.rotated_secret),
    ("another certificate", changing.renewed_certificate),
    ("the application is away", failing.application_away),
    ("a restart", failing.restart),
    ("kill -9", failing.killed),
    ("a reboot", failing.reboot),
    ("a full disk", failing.full_disk),
    ("a dead letter", failing.dead_letter),
    ("wrong modes", refusing.wrong_modes),
    ("an expired certificate", refusing.expired_certificate),
    ("a port in use", refusing.port_in_use),
    ("backup and restore", keeping.backup),
    ("upgrade and the way back", keeping.upgrade),
    ("another host", keeping.another_host),
    ("the other pages", keeping.other_pages),
    ("its firewall", keeping.firewall),
    ("metrics for another host", keeping.scraped),
    ("a credential of systemd's", opening.credentials),
    ("the store's key", opening.store_key),
    ("the port that systemd holds", opening.passed_socket),
    ("uninstall", installing.uninstall),
    ("install as root under umask 077", functools.partial(installing.install, user="root", umask="077")),
    ("uninstall again", installing.uninstall),
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/boot", description=__doc__.splitlines()[0])
    parser.add_argument("--relay", type=Path, required=True, metavar="BINARY", help="the relay to install")
    parser.add_argument("--base", type=Path, metavar="TAR", help="keep the Debian here, and take it from here")
    parser.add_argument("--hold", action="store_true", help="where a walk fails, wait for Enter")
    options = parser.parse_args()
    if missing := _missing():
        print(f"skipped, needs {missing}")
        return 1 if os.environ.get("CI") else 0
    scratch = Path(tempfile.mkdtemp(prefix="dmz-relay-boot-"))
    machine = Machine(scratch / "machine")
    try:
        with _timed("make a Debian"):
            make(machine.root, options.base)
        with _timed("boot it"):
            machine.boot()
        return _walk(machine, options.relay.resolve(strict=True), scratch, options.hold)
    finally:
        machine.power_off()
        shutil.rmtree(scratch)


def _missing() -> str:
    if os.geteuid() != 0:
        return "root, to boot a machine"
    programs = ["systemd-nspawn", "mmdebstrap", "nsenter", "openssl"]
    return ", ".join(program for program in programs if not shutil.which(program))


def _walk(machine: Machine, binary: Path, scratch: Path, hold: bool) -> int:
    host = None
    try:
        host = Host(machine, binary, scratch)
        for name, walk in WALKS:
            # Restarts of other walks do not count against systemd's limit of starts.
            machine.sh("systemctl reset-failed")
            with _timed(name):
                walk(host)
        return 0
    except Exception:
        if host:
            print(f"\nThe journal's end:\n{host.last()}", flush=True)
        print(traceback.format_exc(), flush=True)
        if hold:
            input(f"nsenter --target={machine.leader} --all, then Enter here: ")
        return 1
    finally:
        if host:
            host.application_away()


class _timed:
    """A line for each step: it says what is going on, and how long it took."""

    def __init__(self, name: str):
        self.name = name

    def __enter__(self):
        self.started = time.monotonic()

    def __exit__(self, kind, *_):
        took = time.monotonic() - self.started
        print(f"{'ok' if kind is None else 'FAILED':6} {took:5.1f} s  {self.name}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
