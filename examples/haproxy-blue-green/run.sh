#!/usr/bin/env bash
# Ships v1, then v2 of the sample app behind a real HAProxy, 200 requests a second over kept connections,
# fresh connections and WebSockets while it does, and prints the verdict. See README.md.
#
# Needs bash, haproxy ($HAPROXY or PATH) and cutover ($CUTOVER or PATH, else it is built with cargo).
# Users come in at port $PORT (8785). The report goes to $OUT (.). Exit code: that of `cutover deploy`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../tools.sh" haproxy
PORT=${PORT:-8785}
OUT=$(realpath "${OUT:-.}")

# `up` ends the instances: gently, unless something went wrong.
before_the_end() { # exit code
    local gently=
    (($1 == 0)) || gently=--now
    [[ ! -e .cutover ]] || cutover down $gently
}

# In the background, so that Ctrl-C is heard at once.
deploy() { # version
    say "ship $1"
    cutover deploy cms "$1" --out "$OUT" &
    started+=("$!")
    wait "$!"
}

cd "$work"
sed "s/127\.0\.0\.1:8785/127.0.0.1:$PORT/" "$here/cutover.toml" >cutover.toml
cutover haproxy install
launch haproxy haproxy -W -S "$work/haproxy/master.sock" -f "$work/haproxy"
until_true 10 "HAProxy listens" listens "$PORT"
cutover haproxy check
launch up cutover up
until_true 20 "cutover up answers" cutover status
deploy v1
code=0
deploy v2 || code=$?
exit "$code"
