"""The servers that are compared: started from the configurations beside this file, each in a folder of its own."""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
HERTZ = os.sysconf("SC_CLK_TCK")
PROXY_CORE, LOAD_CORE = "0", "1"
START_TIMEOUT = 30.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find(what, places):
    """The first of these that is there."""
    for place in places:
        if Path(place).exists():
            return place
    raise SystemExit(f"{what} is not in {', '.join(places)}")


class Site:
    """What all servers share: certificate, secret, the internal server, requests."""

    def __init__(self, folder, tools, cipher):
        self.folder = folder
        self.tools = tools
        self.cipher = cipher
        self.running = []
        self.inside = free_port()
        self.secret = f"bench-{secrets.token_hex(32)}"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "30",
             "-keyout", folder / "key.pem", "-out", folder / "crt.pem", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        (folder / "both.pem").write_text((folder / "crt.pem").read_text() + (folder / "key.pem").read_text())
        for name in ("key.pem", "both.pem"):
            (folder / name).chmod(0o600)
        self.client_conf()
        self.process = subprocess.Popen(["taskset", "-c", LOAD_CORE, tools["load"], "inside", str(self.inside)])
        wait_for_port(self.inside, self.process)

    def client_conf(self):
        """wrk and h2load cannot be told which suite to offer, but OpenSSL under them can."""
        self.openssl_conf = self.folder / f"openssl.{self.cipher}.cnf"
        self.openssl_conf.write_text(
            "openssl_conf = top\n[top]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\n"
            f"MinProtocol = TLSv1.3\nCiphersuites = {self.cipher}\nGroups = X25519\n")

    def with_cipher(self, cipher):
        self.cipher = cipher
        self.client_conf()

    def request(self, size, genuine=True, secret=None):
        return Request(size, secret or self.secret, genuine)

    def stop(self):
        for server in list(self.running):
            server.stop()
        self.process.terminate()
        self.process.wait()


class Request:
    """A GitHub push of so many bytes: a JSON object, as is usual."""

    def __init__(self, size, secret, genuine):
        self.body = json.dumps({"a": "x" * (size - len(json.dumps({"a": ""})))}).encode()
        signature = hmac.new(secret.encode(), self.body, hashlib.sha256).hexdigest() if genuine else "0" * 64
        self.headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/x",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "X-Hub-Signature-256": f"sha256={signature}",
        }

    def http1(self, close=False, path="/hooks/github"):
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += ["Connection: close"] if close else []
        return "\r\n".join(lines + ["", ""]).encode() + self.body

    def lua(self):
        fields = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in self.headers.items())
        return f'wrk.method = "POST"\nwrk.body = [[{self.body.decode()}]]\n{fields}'


def wait_for_port(port, process):
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args} does not listen")
        time.sleep(0.0005)


class Server:
    """One of the compared, from a configuration file."""

    name = label = config = ""
    verifies = True

    def __init__(self, site, *, body=1843, threads=1, cores=PROXY_CORE, lines=False, **values):
        self.site = site
        # Whether those write a line for each request that can leave it. The relay always does.
        self.lines = lines
        self.port = free_port()
        self.folder = site.folder / f"{self.name}.{self.port}"
        self.folder.mkdir()
        for shared in ("crt.pem", "key.pem", "both.pem"):
            shutil.copy2(site.folder / shared, self.folder)
        values = self.values(body) | values
        values |= {"port": self.port, "inside": site.inside, "threads": threads, "folder": self.folder, "secret": site.secret}
        self.fill(self.config, values)
        started = time.monotonic()
        # Not beside relay.toml: each line would wake the watcher of the configuration.
        (site.folder / "logs").mkdir(exist_ok=True)
        self.log = site.folder / "logs" / self.folder.name
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", cores, *self.command(threads)], cwd=self.folder, stdout=log, stderr=log)
        site.running.append(self)
        try:
            wait_for_port(self.port, self.process)
        except SystemExit as silent:
            raise SystemExit(f"{silent}:\n{self.log.read_text()}") from silent
        self.start_ms = (time.monotonic() - started) * 1000
        self.idle = self.resident()

    def fill(self, name, values):
        text = (HERE / name).read_text()
        (self.folder / name).write_text(re.sub(r"@([a-z0-9]+)@", lambda found: str(values.get(found[1], found[0])), text))

    def values(self, body):
        return {}

    def pids(self):
        """The process and its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu(self):
        """Seconds of all threads so far, user and system."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / HERTZ

    def resident(self):
        """KiB."""
        found = [re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()) for pid in self.pids()]
        return sum(int(match[1]) for match in found if match)

    def statuses(self, *requests):
        """What each is answered, over one connection each."""
        context = ssl.create_default_context(cafile=self.folder / "crt.pem")
        for request in requests:
            with socket.create_connection(("127.0.0.1", self.port), 10) as tcp:
                with context.wrap_socket(tcp, server_hostname="localhost") as tls:
                    tls.sendall(request.http1(close=True))
                    yield int(tls.recv(65536).split()[1])

    def last_words(self):
        """The last lines of its log that speak of no success."""
        lines = self.log.read_text().splitlines()
        return "\n".join([line for line in lines if '"status":200' not in line][-3:])

    def check(self, size):
        """Genuine ones are taken, and forged ones are not where somebody looks."""
        genuine, forged = self.statuses(self.site.request(size), self.site.request(size, genuine=False))
        if genuine != 200 or (self.verifies and forged != 401):
            raise SystemExit(f"{self.label}: genuine {genuine}, forged {forged}")

    def stop(self):
        self.site.running.remove(self)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)
        self.log.unlink()


class Relay(Server):
    name, label, config = "relay", "dmz-relay", "relay.toml"

    def values(self, body):
        path = self.folder / "secret"
        path.write_text(self.site.secret)
        path.chmod(0o600)
        return {"secrets": '{ file = "secret" }', "more": ""}

    def command(self, threads):
        return [self.site.tools["relay"], "run", "--config", self.config, "--threads", str(threads)]


class HaProxy(Server):
    name, label, config = "haproxy", "HAProxy, hmac", "haproxy.cfg"

    def values(self, body):
        secret64 = base64.b64encode(self.site.secret.encode()).decode()
        # The manual: beside the body a buffer holds the head, and `tune.maxrewrite` (1024) stays free.
        # HAProxy writes to syslog or to a descriptor, of which the second costs less.
        log = "log stdout format raw local0 info\n    option httplog" if self.lines else "no log"
        return {"bufsize": max(16384, body + 8192), "secret64": secret64, "log": log}

    def command(self, threads):
        return ["haproxy", "-db", "-f", self.config]


class Nginx(Server):
    name, label, config = "nginx", "nginx, nothing verified", "nginx.conf"
    verifies = False

    def values(self, body):
        # Its manual has the buffer so that not every line is a system call.
        log = "access_log access.log combined buffer=64k flush=1s;" if self.lines else "access_log off;"
        return {"buffer": max(16384, body + 1024), "log": log}

    def command(self, threads):
        # One process where one is enough: it is what the others are.
        alone = ["-g", "master_process off;"] if threads == 1 else []
        return ["nginx", "-p", str(self.folder), "-c", self.config, *alone]


class NginxLua(Nginx):
    name, label, config = "nginx-lua", "nginx, Lua and libcrypto", "nginx-lua.conf"
    verifies = True

    def values(self, body):
        crypto = find("libcrypto", [f"/usr/lib/{os.uname().machine}-linux-gnu/libcrypto.so.3", "/usr/lib64/libcrypto.so.3"])
        self.fill("verify.lua", {"crypto": crypto, "secret": self.site.secret})
        modules = find("the Lua module", ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"])
        return super().values(body) | {"modules": modules}


SERVERS = {kind.name: kind for kind in (Relay, HaProxy, Nginx, NginxLua)}
