#!/usr/bin/env bash
# What the demo's own script does, step by step, while `cutover probe` asks HAProxy's entrance 200 times
# a second. The deploy says "done"; the report says what its users saw. See ../README.md.
#
#   ./naive.sh            the script as it is
#   ./naive.sh --reload   and somebody reloads HAProxy while green serves
#   ./naive.sh --sockets  users have WebSockets open, too
#
# Needs bash, haproxy ($HAPROXY or PATH) and cutover ($CUTOVER or PATH, else it is built with cargo).
# Ports: $PORT for users (8785), $API for HAProxy's runtime API (9000), $BLUE (3000), $GREEN (4000).
# The report goes to $OUT (.). Exit code: that of the probe, 1 when users lost something.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../../tools.sh" haproxy
export PORT=${PORT:-8785} API=${API:-9000} BLUE=${BLUE:-3000} GREEN=${GREEN:-4000}
OUT=$(realpath "${OUT:-.}")
reload='' lanes=keep-alive,fresh
case ${1:-} in
'') ;;
--reload) reload=yes ;;
--sockets) lanes=keep-alive,fresh,websocket ;;
*) die "unknown option $1" ;;
esac

# --- The demo's functions. Only socat is replaced by bash's own /dev/tcp.

ask() {
    local wire
    exec {wire}<>"/dev/tcp/127.0.0.1/$API"
    echo "$1" >&"$wire"
    cat <&"$wire"
    exec {wire}>&-
}

forwardTo() {
    say "forward all traffic to $1"
    ask "set map hosts.map STATIC $1" >/dev/null
}

waitItUp() {
    local status=
    until [[ $status == UP ]]; do
        status=$(ask "show stat" | cut -d , -f 2,18 | grep "^$1," | cut -d , -f 2) ||
            die "HAProxy does not answer"
        say "$1 status: $status"
        [[ $status == UP ]] || sleep 1
    done
}

readyToDown() {
    local count=
    until [[ $count == 0 ]]; do
        sleep 1
        count=$(ask "show servers conn $1" | sed -n 2p | cut -d ' ' -f 7) ||
            die "HAProxy does not answer"
        say "current connection on $1: $count"
        if gone "$probe"; then
            say "the users are gone, and the script would still wait"
            return 1
        fi
    done
}

# --- What `docker-compose up -d --build --force-recreate` and `stop` do to a service.

declare -A pids=() ports=([blue]=$BLUE [green]=$GREEN)

up() { # slot version
    say "start $1 at $2"
    launch "$1-$2" cutover app --port "${ports[$1]}" --version "$2" --instance "$1" \
        --start-delay "${START_DELAY:-2s}" --drain-deadline 2s
    pids[$1]=$launched
}

down() { # slot
    say "stop $1"
    end "${pids[$1]}"
}

deploy() {
    up green v2
    waitItUp green
    forwardTo green
    if [[ $reload ]]; then
        say "somebody reloads HAProxy"
        kill -USR2 "$haproxy"
    fi
    readyToDown blue || return 0
    down blue
    up blue v2
    waitItUp blue
    forwardTo blue
    readyToDown green || return 0
    down green
    say "done"
}

# --- HAProxy with blue at v1; users come; the deploy.

cd "$work"
echo "STATIC blue" >hosts.map
up blue v1
until_true 10 "blue listens" listens "$BLUE"
launch haproxy haproxy -W -f "$here/haproxy.cfg"
haproxy=$launched
until_true 10 "HAProxy listens" listens "$PORT"
launch probe cutover probe "http://127.0.0.1:$PORT/datetime" --rate 200 --lanes "$lanes" \
    --duration "${DURATION:-20s}" --out "$OUT"
probe=$launched
sleep 1 # users come before the deploy does
deploy
code=0
wait "$probe" || code=$?
echo
cat probe.log
exit "$code"
