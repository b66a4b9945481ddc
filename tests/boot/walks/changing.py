"""While it runs: a good and a bad reload, another secret, another certificate."""

import re
import secrets
import shutil

from host import CONFIG, ERROR, NAME, WARNING, Host
from machine import until
from pages import CHECKOUT, blocks, replaced

SECOND = """
[routes.second]
path = "/hooks/second"
provider = "github"
secrets = [{ file = "secrets/github" }]
upstream = "app"
"""
# From the README: "edit, `dmz-relay check`, `systemctl reload dmz-relay`".
CHECK, RELOAD = f"sudo dmz-relay check --config {CONFIG}", "sudo systemctl reload dmz-relay"


def good_reload(host: Host):
    before, mark, process = host.config(), host.mark(), host.unit("MainPID")
    host.edit(before + SECOND)
    host.sh(CHECK).exits(0)
    host.sh(RELOAD).exits(0)
    applied = host.logged(mark, "config_applied")
    assert "second" in str(applied["changes"]), applied
    # systemd ran the command, as the service's user.
    by = host.logged(mark, "admin_action")
    assert (by["action"], by["from"], by["user"]) == ("reload", "systemd", "dmz-relay"), by
    host.edit(before)
    host.sh(RELOAD).exits(0)
    host.serves()
    assert host.unit("MainPID") == process and host.unit("ActiveState") == "active"


def bad_reload(host: Host):
    """It fails, says why at a priority that monitoring reads, and changes nothing."""
    before, mark, process = host.config(), host.mark(), host.unit("MainPID")
    host.edit(before.replace('upstream = "app"', 'upstream = "nowhere"'))
    host.sh(CHECK).exits(1).says('"nowhere"')
    assert host.sh(RELOAD).code != 0
    problem = host.logged(mark, "config_problem")
    assert problem["priority"] <= ERROR and "nowhere" in problem["problem"], problem
    assert host.logged(mark, "config_kept")["priority"] <= WARNING
    host.status(1).says("changed files were refused", "nowhere")
    host.serves()
    host.edit(before)
    host.sh(RELOAD).exits(0)
    host.status(0)
    assert host.unit("MainPID") == process and host.unit("ActiveState") == "active"


def rotated_secret(host: Host):
    """docs/tasks/rotation.md, step by step."""
    of_page = blocks("docs/tasks/rotation.md", None, "A provider's secret")
    write, toml, reload, used = of_page
    before, old, new = host.config(), host.secret, secrets.token_hex(32)
    host.follow(write, new)
    assert host.stat("/etc/dmz-relay/secrets/github.new") == "root:dmz-relay 640"
    host.edit(replaced(before, toml.text))
    host.follow(reload)
    host.serves(old)
    host.serves(new)
    counted = until("both keys in the log", lambda: (said := host.follow(used).text).count("file:") == 2 and said)
    assert "file:secrets/github\n" in counted and "file:secrets/github.new\n" in counted, counted
    # Step 5: remove the old entry, reload, and delete the old file.
    host.edit(re.sub(r', \{ file = "secrets/github" \}', "", host.config()))
    host.follow(reload)
    host.sh("sudo rm /etc/dmz-relay/secrets/github").exits(0)
    assert host.github(secret=old)[0] == 401
    host.serves(new)
    host.secret = new
    # As it was, for those who come after.
    host.sh("sudo install -m 640 -g dmz-relay /etc/dmz-relay/secrets/github.new /etc/dmz-relay/secrets/github").exits(0)
    host.edit(before)
    host.follow(reload)
    host.sh("sudo rm /etc/dmz-relay/secrets/github.new").exits(0)
    host.serves()


def renewed_certificate(host: Host):
    """The hook of certs/README.md, as certbot calls it."""
    process, mark = host.unit("MainPID"), host.mark()
    hook, seen = blocks("certs/README.md", "sh", "Renewal")
    name = re.search(r"`(/etc/letsencrypt/\S+)`", (CHECKOUT / "certs/README.md").read_text())[1]
    path = host.machine.path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(hook.text)
    path.chmod(0o755)
    lineage = host.machine.path("/etc/letsencrypt/live/relay")
    lineage.mkdir(parents=True)
    host.certificate("fullchain.pem", "privkey.pem", 80)
    for file in ("fullchain.pem", "privkey.pem"):
        shutil.copy(host.scratch / file, lineage / file)
    host.machine.sh(f"RENEWED_LINEAGE=/etc/letsencrypt/live/relay {name}", umask="077").exits(0)
    applied = host.logged(mark, "config_applied")
    assert "relay.crt has new content" in applied["changes"], applied
    served = host.sh(
        f"openssl s_client -connect {NAME}:443 -servername {NAME} </dev/null 2>/dev/null | openssl x509 -noout -serial")
    host.follow(seen).says("not_after")
    host.serves()
    assert served.exits(0).text.strip() == host.serial("fullchain.pem"), served
    assert host.stat("/etc/dmz-relay/certs/relay.key") == "root:dmz-relay 640"
    assert host.unit("MainPID") == process
    assert not [line for line in host.journal(mark) if line["priority"] <= WARNING]
