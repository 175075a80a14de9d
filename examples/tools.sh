# What the scripts of the examples share: the programs, a directory of their own, and the end of all that
# they start. It knows nothing of any script's story. To be sourced, with the server that the script
# needs ("haproxy", found as $HAPROXY or in PATH).

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

listens() { # port
    (: <"/dev/tcp/127.0.0.1/$1")
}

# launch NAME COMMAND...: starts it with its output in NAME.log; its pid is in $launched.
launch() {
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 &
    launched=$!
    started+=("$launched")
}

gone() { # pid
    ! kill -0 "$1" 2>/dev/null
}

# Ends a process that this script started: asks it, waits for ten seconds, then insists.
end() { # pid
    local deadline=$((SECONDS + 10))
    kill -TERM "$1" 2>/dev/null || return 0
    until gone "$1"; do
        if ((SECONDS >= deadline)); then
            kill -KILL "$1" 2>/dev/null || true
        fi
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

server=$1
variable=${server^^}
program=$(command -v "${!variable:-$server}") ||
    die "no $server: install it, or name it in \$$variable"
# nginx itself takes one of that name for a list of sockets.
unset -v "$variable"
if ! CUTOVER=$(command -v "${CUTOVER:-cutover}"); then
    root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
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
ln -s "$(realpath "$program")" "$work/bin/$server"
ln -s "$(realpath "$CUTOVER")" "$work/bin/cutover"
PATH=$work/bin:$PATH
