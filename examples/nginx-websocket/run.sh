#!/usr/bin/env bash
# Ships v1, then v2 of the sample app behind a real nginx, with 200 requests a second over kept
# connections, fresh connections and WebSockets while it does, and prints the verdict. See README.md.
#
# Needs bash, nginx 1.27.4 or newer ($NGINX or PATH) and cutover ($CUTOVER or PATH, else it is built with
# cargo). Users come in at port $PORT (8786); nginx's workers answer Cutover at $CONTROL (9170). The
# report goes to $OUT (.). With WAIT=yes v2 is shipped when you press Enter. Exit code: that of `cutover
# deploy`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../tools.sh" nginx
PORT=${PORT:-8786} CONTROL=${CONTROL:-9170}
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
    cutover deploy chat "$1" --out "$OUT" &
    started+=("$!")
    wait "$!"
}

cd "$work"
mkdir nginx
with_ports() { # file
    sed "s/127\.0\.0\.1:8786/127.0.0.1:$PORT/; s/127\.0\.0\.1:9170/127.0.0.1:$CONTROL/" "$here/$1"
}
with_ports cutover.toml >cutover.toml
with_ports nginx.conf >nginx/nginx.conf
cutover nginx install
launch nginx nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" -e "$work/nginx/error.log" -g 'daemon off;'
until_true 10 "nginx listens" listens "$PORT"
cutover nginx check
launch up cutover up
until_true 20 "cutover up answers" cutover status
deploy v1
say "open http://127.0.0.1:$PORT/ in a browser to watch"
if [[ ${WAIT:-} ]]; then
    read -rp "Enter ships v2 " _
fi
code=0
deploy v2 || code=$?
exit "$code"
