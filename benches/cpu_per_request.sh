#!/usr/bin/env bash
# CPU microseconds per verified request: a 1.8 KiB signed POST over TLS keep-alive, one core for the relay, another for the
# load and the internal server. The yardstick, in the same run on the same core: nginx as a TLS proxy that verifies nothing.
# Needs wrk, nginx, openssl, python3 and two cores. Everything stays on loopback.
#
#   cargo build --release && bash benches/cpu_per_request.sh [target/release/dmz-relay] [seconds]
set -euo pipefail
relay=$(realpath "${1:-target/release/dmz-relay}")
seconds=${2:-5}
for tool in wrk nginx openssl python3 taskset; do
  command -v "$tool" >/dev/null || { echo "skipped, needs $tool" >&2; exit 0; }
done
folder=$(mktemp -d)
relay_pid='' nginx_pid='' proxy_pid=''
trap 'kill ${relay_pid:-} ${nginx_pid:-} ${proxy_pid:-} 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"

python3 - <<'PY'
import hashlib, hmac, json, socket
def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
inside, public, proxy = free(), free(), free()
secret = b"bench-" + hashlib.sha256(str(inside).encode()).hexdigest().encode()
body = json.dumps({"a": "x" * 1780}).encode()
genuine = hmac.new(secret, body, hashlib.sha256).hexdigest()
open("secret", "wb").write(secret)
for name, signature in (("genuine", genuine), ("forged", "0" * 64)):
    open(f"{name}.lua", "w").write(
        'wrk.method = "POST"\nwrk.body = [[%s]]\n' % body.decode()
        + "".join('wrk.headers["%s"] = "%s"\n' % field for field in (
            ("Content-Type", "application/json"), ("User-Agent", "GitHub-Hookshot/x"), ("X-GitHub-Event", "push"),
            ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            ("X-Hub-Signature-256", "sha256=" + signature))))
open("nginx.conf", "w").write(f"""
daemon off; worker_processes 1; pid {'nginx.pid'}; error_log stderr error;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen 127.0.0.1:{inside}; location / {{ return 200; }} }} }}
""")
open("proxy.conf", "w").write(f"""
daemon off; master_process off; pid {'proxy.pid'}; error_log stderr error;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream app {{ server 127.0.0.1:{inside}; keepalive 64; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{proxy} ssl; ssl_certificate crt.pem; ssl_certificate_key key.pem;
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
""")
open("relay.toml", "w").write(f"""
[[listeners]]
name = "public"
address = "127.0.0.1:{public}"
[listeners.tls]
certificates = [{{ chain = "crt.pem", key = "key.pem" }}]
[log]
format = "json"
[upstreams.app]
servers = ["http://127.0.0.1:{inside}"]
[routes.github]
path = "/hooks/github"
provider = "github"
secrets = [{{ file = "secret" }}]
upstream = "app"
replay = {{ off = true }}  # the load repeats one request
""")
open("url", "w").write(f"https://localhost:{public}/hooks/github")
open("proxy.url", "w").write(f"https://localhost:{proxy}/hooks/github")
PY
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out crt.pem -days 30 \
  -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
chmod 600 key.pem secret

taskset -c 1 nginx -p "$folder" -c nginx.conf & nginx_pid=$!
taskset -c 0 nginx -p "$folder" -c proxy.conf & proxy_pid=$!
taskset -c 0 "$relay" run --config relay.toml --threads 1 2>relay.log & relay_pid=$!
until grep -q '"listening"' relay.log; do kill -0 "$relay_pid"; done

ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# measure NAME LOAD URL PID: prints one line and leaves the microseconds in $cost.
measure() {
  taskset -c 1 wrk -t1 -c16 -d1 -s "$2.lua" "$3" >/dev/null
  local before after
  before=$(ticks "$4")
  taskset -c 1 wrk -t1 -c16 -d"$seconds" -s "$2.lua" "$3" >wrk.out
  after=$(ticks "$4")
  cost=$(awk -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" \
    '/requests in/ { printf "%.1f", ticks / hertz * 1e6 / $1 }' wrk.out)
  awk -v name="$1" -v cost="$cost" '/requests in/ { requests = $1 } /Non-2xx/ { bad = $NF }
    END { printf "%-28s %7d requests, %7d not 2xx, %6.1f us of CPU each\n", name, requests, bad, cost }' wrk.out
}

measure "nginx, nothing verified" genuine "$(cat proxy.url)" "$proxy_pid"; yardstick=$cost
measure "dmz-relay, genuine" genuine "$(cat url)" "$relay_pid"; genuine=$cost
measure "dmz-relay, forged" forged "$(cat url)" "$relay_pid"; forged=$cost
awk -v y="$yardstick" -v g="$genuine" -v f="$forged" \
  'BEGIN { printf "genuine / nginx %.2f   forged / genuine %.2f\n", g / y, f / g }'
awk '/VmRSS/ { printf "resident %.1f MiB\n", $2 / 1024 }' "/proc/$relay_pid/status"
