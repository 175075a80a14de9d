#!/usr/bin/env bash
# The same canary by hand: four replicas at Consul, one after the other is replaced by a new one, as
# `docker service scale` does it, while `cutover probe` asks HAProxy's entrance 200 times a second. The
# script says "done"; the report says what users saw. See ../README.md.
#
# Needs bash, consul ($CONSUL or PATH), haproxy ($HAPROXY or PATH) and cutover ($CUTOVER or PATH, else it is
# built with cargo). Users come in at port $PORT (48151); replicas are at $REPLICAS (3000) and the seven ports
# after it. The report goes to $OUT (.). Exit code: that of the probe, 1 when users lost something.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../consul.sh"
export PORT DNS
REPLICAS=${REPLICAS:-3000}
declare -A pids=()

up() { # place version
    local port=$((REPLICAS + $1))
    launch "replica-$1" cutover app --port "$port" --version "$2" --instance "message-$1"
    pids[$1]=$launched
    until_true 10 "replica $1 listens" listens "$port"
    ask "$AGENT" PUT /v1/agent/service/register "" \
        "{\"ID\":\"message-$1\",\"Name\":\"message\",\"Address\":\"127.0.0.1\",\"Port\":$port,\"Tags\":[\"$2\"]}" >/dev/null
}

# Told Consul, and gone: who was on the way there was not asked.
down() { # place
    ask "$AGENT" PUT "/v1/agent/service/deregister/message-$1" >/dev/null
    kill -KILL "${pids[$1]}"
    # So that bash does not tell of it in the midst of what the script says.
    wait "${pids[$1]}" 2>/dev/null || true
}

answers() {
    [[ $(ask "$PORT" GET /version) == *" 200 "* ]]
}

cd "$work"
start_consul
for place in 0 1 2 3; do
    say "start replica $place at v1"
    up "$place" v1
done
launch haproxy haproxy -W -f "$here/haproxy.cfg"
until_true 20 "HAProxy has found a replica" answers
say "400 requests: which of the four replicas answer?"
cutover probe "http://127.0.0.1:$PORT/version" --count 400 --rate 200 --lanes fresh --out "$work" || true
launch probe cutover probe "http://127.0.0.1:$PORT/version" --rate 200 --lanes keep-alive,fresh \
    --duration "${DURATION:-8s}" --out "$OUT"
probe=$launched
sleep 1 # users come before the deploy does
for place in 0 1 2 3; do
    say "replace replica $place by one at v2"
    up $((place + 4)) v2
    down "$place"
done
say "done"
code=0
wait "$probe" || code=$?
echo
cat probe.log
exit "$code"
