"""What breaks while it serves: the application, the process, the disk. Nothing that was answered 200 is lost."""

from host import STORE, WARNING, Host
from machine import until

# A disk of its own for the store, and what of it stays free.
DISK, RESERVE = "48m", "8MiB"
SMALL = f'keep = {{ age = "14d", size = "16MiB" }}\ndisk_reserve = "{RESERVE}"\n'


def accepted_while_away(host: Host) -> str:
    """A request that the application cannot take is answered 200, and waits."""
    status, known = host.github()
    assert status == 200 and not host.arrived(known), status
    return known


def refused_while_away(host: Host) -> str:
    """A request that could only be stored is answered 503."""
    host.application_away()
    return until("503", lambda: (answer := host.github())[0] == 503 and answer)[1]


def taken(host: Host) -> str:
    """The first request that is answered 200."""
    return until("200", lambda: (answer := host.github())[0] == 200 and answer)[1]


def events(host: Host, state: str) -> list[dict]:
    return host.machine.sh(f"dmz-relay events list --state {state} --format json").exits(0).json()["events"]


def arrives_once(host: Host, known: str):
    host.arrives(known)
    until("nothing waits", lambda: not events(host, "waiting"))
    assert len(host.arrived(known)) == 1, host.arrived(known)


def application_away(host: Host):
    """Nobody needs to do anything when it is back."""
    mark = host.mark()
    host.application_away()
    waiting = [accepted_while_away(host) for _ in range(3)]
    host.logged(mark, "breaker_opened")
    host.status(1).says("cannot be reached")
    host.sh("dmz-relay status --format nagios").exits(2).says("CRITICAL", "waiting=3")
    said = host.sh("sudo dmz-relay send github --config /etc/dmz-relay/relay.toml")
    assert said.code != 0, f"the application did not take it\n{said}"
    host.application()
    for known in waiting:
        arrives_once(host, known)
    host.logged(mark, "breaker_closed")
    until("status has nothing to say", lambda: host.machine.sh("dmz-relay status").code == 0)
    host.sh("dmz-relay status --format nagios").exits(0).says("OK", "waiting=0")


def restart(host: Host):
    """What waits goes over to the next process."""
    host.application_away()
    waiting = accepted_while_away(host)
    mark, process = host.mark(), host.unit("MainPID")
    host.sh("sudo systemctl restart dmz-relay").exits(0)
    assert host.unit("MainPID") != process
    assert host.logged(mark, "stopped")["priority"] > WARNING
    host.application()
    arrives_once(host, waiting)
    host.serves()


def killed(host: Host):
    """`kill -9`: systemd starts it again, and what was answered 200 arrives."""
    host.application_away()
    waiting = accepted_while_away(host)
    mark, process = host.mark(), host.unit("MainPID")
    host.sh("sudo systemctl kill --signal=KILL dmz-relay").exits(0)
    until("another process", lambda: host.unit("MainPID") not in ("0", process))
    until("it serves", lambda: host.unit("ActiveState") == "active")
    assert host.unit("NRestarts") == "1"
    host.logged(mark, "started")
    host.application()
    arrives_once(host, waiting)
    host.serves()


def reboot(host: Host):
    """Everything that was installed is there again, and the relay starts by itself."""
    host.application_away()
    waiting = accepted_while_away(host)
    host.reboot()
    until("the relay runs", lambda: host.unit("ActiveState") == "active")
    assert host.stat("/run/dmz-relay") == "dmz-relay:dmz-relay-admin 2750"
    host.application()
    arrives_once(host, waiting)
    host.serves()


def full_disk(host: Host):
    """503 and never a false 200 while there is no room; 200 by itself when there is."""
    before = host.config()
    host.sh("sudo systemctl stop dmz-relay").exits(0)
    host.machine.sh(f"mount -t tmpfs -o size={DISK},mode=0700 tmpfs {STORE} && chown dmz-relay: {STORE}").exits(0)
    host.edit(before.replace('relay.db" }\n', 'relay.db" }\n' + SMALL))
    host.sh("sudo dmz-relay check && sudo systemctl start dmz-relay").exits(0)
    host.serves()
    mark = host.mark()
    # Less than the reserve is left.
    others = f"$(($(df --output=avail -B1 {STORE} | tail -n 1) - (4 << 20)))"
    host.machine.sh(f"fallocate -l {others} {STORE}/others").exits(0)
    refused = [refused_while_away(host)]
    assert host.logged(mark, "store_full")["priority"] <= WARNING
    host.status(1).says("the store is full", "make room on the disk")
    host.sh("dmz-relay status --format nagios").exits(2).says("CRITICAL")
    # What needs no store is delivered as ever, once the relay has found that the application is back.
    host.application()
    host.arrives(taken(host))
    # Nothing is left at all.
    host.machine.sh(f"head -c {DISK} /dev/zero >{STORE}/more 2>/dev/null || true").exits(0)
    refused.append(refused_while_away(host))
    host.status(1).says("To do")
    host.machine.sh(f"rm {STORE}/others {STORE}/more").exits(0)
    host.logged(mark, "store_room")
    waiting = taken(host)
    host.application()
    arrives_once(host, waiting)
    assert not any(host.arrived(known) for known in refused), "a request that was answered 503 arrived"
    host.edit(before)
    host.sh("sudo systemctl stop dmz-relay").exits(0)
    host.machine.sh(f"umount {STORE}").exits(0)
    host.sh("sudo systemctl start dmz-relay").exits(0)
    host.serves()


def dead_letter(host: Host):
    """`status` names it until somebody decides."""
    before = host.config()
    host.edit(before.replace('upstream = "app"\n', 'upstream = "app"\ndelivery = "queue"\nretry = { attempts = 1 }\n'))
    host.sh("sudo systemctl reload dmz-relay").exits(0)
    host.application(status=500)
    status, known = host.github()
    assert status == 200
    host.arrives(known)
    letter = until("a dead letter", lambda: events(host, "dead"))[0]
    host.status(1).says("1 dead letter")
    host.sh("dmz-relay status --format nagios").exits(1).says("WARNING", "dead=1")
    host.application()
    host.sh(f"sudo dmz-relay events retry {letter['id']}").exits(0)
    until("twice at the application", lambda: len(host.arrived(known)) == 2)
    until("no dead letter", lambda: not events(host, "dead"))
    host.edit(before)
    host.sh("sudo systemctl reload dmz-relay").exits(0)
    until("status has nothing to say", lambda: host.machine.sh("dmz-relay status").code == 0)
    host.serves()
