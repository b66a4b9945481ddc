# shellcheck shell=bash
# What stands for a host's programs while a page is walked. The relay, jq, tar, openssl and curl are the real ones.
set -euo pipefail
cd "$HOST/src"
export PATH="$HOST/usr/bin:$PATH:/usr/sbin" HOME="$HOST"
export DMZ_RELAY_CONFIG="$HOST/etc/dmz-relay/relay.toml" CREDENTIALS_DIRECTORY="$HOST/etc/dmz-relay/credentials"
at=start
relay_pid=
balancer_pid=
finish() {
  local code=$? pid
  for pid in $relay_pid $balancer_pid; do
    kill -KILL "$pid" 2>/dev/null
  done
  ((code == 0)) || echo "failed at $at" >&2
}
trap finish EXIT

sudo() {
  [[ $1 != -u ]] || shift 2
  "$@"
}

# Only root may give files away, so owners and groups are left out.
install() {
  local kept=()
  while (($#)); do
    case $1 in
      -o | -g) shift 2 ;;
      *)
        kept+=("$1")
        shift
        ;;
    esac
  done
  command install "${kept[@]}"
}
chown() { [[ -e ${!#} ]]; }
chgrp() { [[ -e ${!#} ]]; }
userdel() { [[ $* == dmz-relay ]]; }
groupdel() { [[ $* == dmz-relay-admin ]]; }
ss() { :; }
# This machine's rules are left alone; tests/cli/firewall.rs loads them where nobody else lives.
nft() { [[ $1 == -f && -s $2 ]]; }
prlimit() {
  shift
  "$@"
}

# Nobody listens behind this relay, so `status` has something to say and `send` was not delivered, with exit code 1.
dmz-relay() { command dmz-relay "$@" || [[ $? == 1 && ($1 == status || $1 == send) ]]; }

journalctl() {
  echo "Starting dmz-relay.service - dmz-relay, the gate for webhooks..."
  cat "$HOST/journal"
  echo "dmz-relay.service: Deactivated successfully."
}

systemctl() {
  local verb=$1
  case $verb in
    start | enable) start ;;
    stop | disable) stop ;;
    restart)
      stop
      start
      ;;
    reload) command dmz-relay reload >/dev/null ;;
    daemon-reload) ;;
    *)
      echo "systemctl $verb" >&2
      return 9
      ;;
  esac
}

start() {
  [[ -z $relay_pid ]] || return 0
  command dmz-relay run 2>>"$HOST/journal" </dev/null &
  relay_pid=$!
  until command dmz-relay status >/dev/null 2>&1 || [[ $? == 1 ]]; do
    kill -0 "$relay_pid" 2>/dev/null || {
      tail -n 5 "$HOST/journal" >&2
      return 9
    }
    sleep 0.05
  done
}

stop() {
  [[ -n $relay_pid ]] || return 0
  kill -TERM "$relay_pid"
  wait "$relay_pid"
  relay_pid=
}

# How many requests wait for delivery.
waiting() { command dmz-relay events list --state waiting --format json | jq '.events | length'; }

# Runs a balancer with the page's block, sends a request through it, and asks the log how the sender was known.
through() {
  local known=$1
  shift
  "$@" >"$HOST/balancer.log" 2>&1 &
  balancer_pid=$!
  until (: >"/dev/tcp/127.0.0.1/$BALANCER") 2>/dev/null; do
    kill -0 "$balancer_pid" 2>/dev/null || {
      cat "$HOST/balancer.log" >&2
      return 9
    }
    sleep 0.05
  done
  command dmz-relay send github --wait 0 --url "https://hooks.example.com/hooks/github" --connect "127.0.0.1:$BALANCER" \
    --cacert "$HOST/etc/dmz-relay/certs/public.crt" >/dev/null || {
    tail -n 5 "$HOST/journal" >&2
    return 9
  }
  kill -TERM "$balancer_pid"
  wait "$balancer_pid" || true
  balancer_pid=
  [[ $(jq -R 'fromjson? | select(.event == "request" and .outcome == "accepted") | .via' "$HOST/journal" | tail -n 1) == "\"$known\"" ]]
}
