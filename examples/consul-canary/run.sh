#!/usr/bin/env bash
# Two services of four replicas behind HAProxy, which takes them from Consul. A new version in one of
# four; then phase by phase to no old replica; then the other service by a header. See README.md.
#
# Needs bash, consul ($CONSUL or PATH), haproxy ($HAPROXY or PATH) and cutover ($CUTOVER or PATH, else it is
# built with cargo). Users come in at port $PORT (48151); Consul has $AGENT, $DNS, $SERF and $SERVER. Reports
# go to $OUT (.). Exit code: 0 when nothing was lost and each share was what it should be; 3 when the prober
# was starved by a busy machine, so that nobody can say.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/consul.sh"

# `up` ends the instances: gently, unless something went wrong.
before_the_end() { # exit code
    local gently=
    (($1 == 0)) || gently=--now
    [[ ! -e .cutover ]] || cutover down $gently
}

# In the background, so that Ctrl-C is heard at once; `wait "$deploying"` tells how it ended.
deploy() { # service version
    say "ship $1 $2"
    shipping=$work/ship-$1-$2.log
    : >"$shipping"
    cutover deploy "$1" "$2" --out "$OUT" > >(tee "$shipping") 2>&1 &
    deploying=$!
    started+=("$deploying")
}

code=0

# Whatever is worse than "nobody can say" ends the script.
judged() { # command...
    local said=0
    "$@" || said=$?
    ((said == 0)) || code=$said
    ((said == 0 || said == 3)) || exit "$said"
}

# The demo's `ab -n 400`: who answered how many of 400 requests, by version and by instance.
four_hundred() { # service, path, more arguments
    local service=$1 path=$2
    shift 2
    say "400 requests to $service$path"
    cutover probe "http://127.0.0.1:$PORT$path" --host "$service.example" --count 400 --rate "${RATE:-200}" \
        --late-after "${LATE:-1s}" --lanes fresh --out "$work" "$@"
}

# The same at what is new in v2, which v1 does not know: nobody else has it, and v2 never lacks it.
four_hundred_at_the_new_endpoint() { # more arguments
    local code=0
    four_hundred message /hello-from-v2 --expect-status 404 "$@" | tee "$work/new.log" || code=$?
    grep -q '200 of v2' "$work/new.log" || die "nobody has the new endpoint"
    ! grep -qE '200 of v1|404 of v2' "$work/new.log" || die "the new endpoint is not where v2 is"
    return "$code"
}

in_phase_of() { # service, phase of what is being shipped
    grep -w "app=$1" "$shipping" | grep -qw "$2"
}

version_of() { # line of a header
    ask "$PORT" GET /version "Host: credit.example"$'\r\n'"$1" | tr -d '\r' |
        sed -n 's/^x-cutover-version: //Ip'
}

# One of eight requests without the header is answered by that version: it has a share.
has_a_share() { # version
    local n
    for ((n = 0; n < 8; n++)); do
        [[ $(version_of "X-Canary: old") != "$1" ]] || return 0
    done
    return 1
}

# Ten requests with the header; all answered by that version.
with_header() { # version
    local n
    for ((n = 0; n < 10; n++)); do
        [[ $(version_of "X-Canary: new") == "$1" ]] || die "a request with the header was not answered by $1"
    done
    say "ten requests with the header: all answered by credit $1"
}

cd "$work"
start_consul
sed -e "s/rate = 200/rate = ${RATE:-200}/" -e "s/late_after = \"1s\"/late_after = \"${LATE:-1s}\"/" \
    -e "s/:48151/:$PORT/" -e "s/:8500/:$AGENT/" -e "s/:8600/:$DNS/" "$here/cutover.toml" >cutover.toml
cutover haproxy install
launch haproxy haproxy -W -S "$work/haproxy/master.sock" -f "$work/haproxy"
until_true 10 "HAProxy listens" listens "$PORT"
launch up cutover up
until_true 20 "cutover up answers" cutover status
cutover haproxy check
# Both services in one rollout, as `[together.both]` says.
deploy both v1
judged wait "$deploying"
judged four_hundred message /version
judged four_hundred credit /version
with_header v1

# One of four of message, as soon as it is there; the others follow, one after the other, without anybody's
# doing. credit meanwhile: for those who carry the header, until somebody promotes it.
deploy both v2
until_true 60 "one of four is replaced" in_phase_of message baking
judged four_hundred_at_the_new_endpoint --assert 'share(v2)=25%±10'
until_true 60 "credit v2 waits" in_phase_of credit paused
with_header v2
judged four_hundred credit /version --assert 'share(v2)=0%±0'

# For a quarter, and then for everybody; neither old version ends before both are sure of the new one.
judged cutover promote credit --detach
until_true 60 "credit v2 has a share" has_a_share v2
judged four_hundred credit /version --assert 'share(v2)=25%±10'
judged wait "$deploying"
judged four_hundred message /hello-from-v2 --assert 'share(v2)=100%±0'
judged four_hundred credit /version --assert 'share(v2)=100%±0'
say "nothing was lost, and no old replica is left"
exit "$code"
