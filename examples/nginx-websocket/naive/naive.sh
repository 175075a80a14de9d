#!/usr/bin/env bash
# What the demo's own deploy.sh does, step by step, while `cutover probe` asks nginx's entrance 200 times
# a second. The deploy says "done"; the report says what its users saw. See ../README.md.
#
#   ./naive.sh               the script as it is, with a new version that starts at once
#   ./naive.sh --slow-start  and one that takes a second to start
#
# Needs bash, perl, nginx ($NGINX or PATH) and cutover ($CUTOVER or PATH, else it is built with cargo).
# Ports: $PORT for users (8786), $OLD (3001) and $NEW (3002) for the two servers. The report goes to $OUT
# (.). Exit code: that of the probe, 1 when users lost something.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../../tools.sh" nginx
PORT=${PORT:-8786} OLD=${OLD:-3001} NEW=${NEW:-3002}
OUT=$(realpath "${OUT:-.}")
command -v perl >/dev/null || die "no perl: install it"
delay=0s
case ${1:-} in
'') ;;
--slow-start) delay=1s ;;
*) die "unknown option $1" ;;
esac

# --- What Docker does.

# A container of the service starts. That the app in it listens is nothing that Docker waits for.
up() { # version port [start delay]
    local delay=${3:-0s}
    say "docker-compose up --scale server=2: start $1"
    launch "$1" cutover app --port "$2" --version "$1" --instance "$1" \
        --start-delay "$delay" --drain-deadline 2s
    [[ $delay != 0s ]] || until_true 10 "$1 listens" listens "$2"
}

# A container ends, and its address with it: who still connects to it hears nothing, not even a refusal.
# On loopback a socket with a full queue is as silent. It waits for the port from before the end on.
stop() { # pid port
    say "docker-compose stop: the old one tells its sockets to reconnect, and ends"
    launch silence perl -MSocket -e '
        my $at = sockaddr_in($ARGV[0], INADDR_LOOPBACK);
        socket(my $silent, PF_INET, SOCK_STREAM, 0) or die;
        setsockopt($silent, SOL_SOCKET, SO_REUSEADDR, 1);
        until (bind($silent, $at) && listen($silent, 0)) { select(undef, undef, undef, 0.0001) }
        socket(my $caller, PF_INET, SOCK_STREAM, 0) or die;
        connect($caller, $at) or die "nobody fills the queue: $!";
        $| = 1;
        print "silent\n";
        sleep' "$2"
    end "$1"
    until_true 5 "its address is gone" grep -q silent "$work/silence.log"
    # Measured with Docker 20.10: `stop`, `rm` and `up --scale server=1` go on for 0.7 s to 2 s.
    sleep "${CLEAN_UP:-1}"
}

# --- What nginx does when it looks the service's name up again.

configure() { # ports
    local port servers=
    for port in "$@"; do
        servers+="server 127.0.0.1:$port; "
    done
    sed "s/@port@/$PORT/; s/@servers@/$servers/" "$here/nginx.conf.in" >nginx/nginx.conf
}

reload() { # ports
    say "nginx -s reload: $# server(s)"
    configure "$@"
    nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" -e "$work/nginx/error.log" -s reload
}

# --- The demo's deploy.sh.

deploy() {
    up v2 "$NEW" "$delay"
    reload "$OLD" "$NEW"
    until_true 20 "the new server answers" answers "$NEW"
    say "the new server answers"
    stop "$old" "$OLD"
    reload "$NEW"
    say "done"
}

answers() ( # port
    exec {wire}<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET / HTTP/1.0\r\n\r\n' >&"$wire"
    read -r -t 1 _ status _ <&"$wire"
    [[ $status == 200 ]]
)

# --- nginx with v1; users come; the deploy.

cd "$work"
mkdir nginx
up v1 "$OLD"
old=$launched
configure "$OLD"
launch nginx nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" -e "$work/nginx/error.log" -g 'daemon off;'
until_true 10 "nginx listens" listens "$PORT"
launch probe cutover probe "http://127.0.0.1:$PORT/datetime" --rate 200 --late-after 500ms \
    --lanes keep-alive,fresh,websocket --duration "${DURATION:-9s}" --out "$OUT"
probe=$launched
sleep 1 # users come before the deploy does
deploy
code=0
wait "$probe" || code=$?
echo
cat probe.log
exit "$code"
