# What run.sh and naive/naive.sh share: the programs, a directory of their own, a Consul, and the end of
# all that they start. To be sourced; it knows nothing of either's story.

began=$SECONDS
started=()

die() {
    echo "error: $1" >&2
    exit 2
}

say() {
    printf '%3d s  %s\n' $((SECONDS - began)) "$1"
}

# until_true SECONDS WHAT COMMAND...: waits until the command succeeds.
until_true() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || die "not within the time: $what; see $work"
        sleep 0.1
    done
}

# ask PORT METHOD PATH [LINE [BODY]]: head and body of the answer; LINE is one header line more.
ask() {
    local wire line=${4:+$4$'\r\n'} body=${5:-}
    exec {wire}<>"/dev/tcp/127.0.0.1/$1"
    printf '%s %s HTTP/1.0\r\n%sContent-Length: %d\r\n\r\n%s' "$2" "$3" "$line" "${#body}" "$body" >&"$wire"
    cat <&"$wire"
    exec {wire}>&-
}

listens() { # port
    (: <"/dev/tcp/127.0.0.1/$1")
}

# A Consul that has a leader takes what is put.
consul_leads() {
    [[ $(ask "$AGENT" PUT /v1/kv/there) == *true ]]
}

# launch NAME COMMAND...: starts it with its output in NAME.log; its pid is in $launched.
launch() {
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 &
    launched=$!
    started+=("$launched")
}

# Ends a process that this script started: asks it, waits for ten seconds, then insists.
end() { # pid
    local deadline=$((SECONDS + 10))
    kill -TERM "$1" 2>/dev/null || return 0
    while kill -0 "$1" 2>/dev/null; do
        ((SECONDS < deadline)) || kill -KILL "$1" 2>/dev/null || true
        sleep 0.05
    done
}

# Whatever happens: what was started is ended, the last first, and the directory goes if all was well.
clean_up() {
    local code=$? i
    trap '' INT TERM
    before_the_end "$code" || true
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        end "${started[i]}"
    done
    if ((code == 2)); then
        echo "logs are in $work" >&2
    else
        rm -rf "$work"
    fi
}

before_the_end() { :; }

# A Consul with the ports that are asked for.
start_consul() {
    sed -e "s/8500/$AGENT/" -e "s/8600/$DNS/" -e "s/8301/$SERF/" -e "s/8300/$SERVER/" \
        "$here/${to_agent:-agent.json}" >agent.json
    launch consul consul agent -config-file agent.json
    until_true 30 "Consul has a leader" consul_leads
}

AGENT=${AGENT:-8500} DNS=${DNS:-8600} SERF=${SERF:-8301} SERVER=${SERVER:-8300} PORT=${PORT:-48151}
OUT=$(realpath "${OUT:-.}")
HAPROXY=$(command -v "${HAPROXY:-haproxy}") || die "no haproxy: install it, or name it in \$HAPROXY"
CONSUL=$(command -v "${CONSUL:-consul}") || die "no consul: install it, or name it in \$CONSUL"
if ! CUTOVER=$(command -v "${CUTOVER:-cutover}"); then
    root=$(realpath "$here/${up_to_root:-../..}")
    echo "no cutover in PATH: building it"
    cargo build --release --quiet --manifest-path "$root/Cargo.toml" -p cutover
    CUTOVER=${CARGO_TARGET_DIR:-$root/target}/release/cutover
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/cutover-example.XXXXXX")
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# By these names for cutover.toml, too.
mkdir "$work/bin"
ln -s "$(realpath "$HAPROXY")" "$work/bin/haproxy"
ln -s "$(realpath "$CONSUL")" "$work/bin/consul"
ln -s "$(realpath "$CUTOVER")" "$work/bin/cutover"
PATH=$work/bin:$PATH
