#!/usr/bin/env bash
# Probes a service while a command deploys it. What it needs is in the environment (see action.yml).
#
# The deploy command starts when the prober has answers of the old version. Its exit code wins when it fails;
# otherwise the prober's is passed on, and 3 (inconclusive) when the version never changed. It decides
# nothing about requests: the prober does.
set -euo pipefail

report=$CUTOVER_REPORT
mkdir -p "$report"
printf 'report=%s\n' "$report" >>"${GITHUB_OUTPUT:-/dev/null}"

arguments=(--rate "$CUTOVER_RATE" --lanes "$CUTOVER_LANES" --duration "$CUTOVER_DURATION"
    --out "$report" --summary "$report/summary.md" --junit "$report/junit.xml")
if [ -n "${CUTOVER_DEPLOY:-}" ]; then
    arguments+=(--until-switch --settle "$CUTOVER_SETTLE" --watch-version "$CUTOVER_WATCH_VERSION")
fi
while IFS= read -r argument; do
    [ -z "$argument" ] || arguments+=("$argument")
done <<<"${CUTOVER_ARGUMENTS:-}"

# What is said goes to the log of the step; the copy is looked at below.
said=$report/probe.log
: >"$said"
# In a group of its own: otherwise the shell would have it ignore the signal that ends it early.
set -m
"$CUTOVER_BINARY" probe "$CUTOVER_URL" "${arguments[@]}" 2> >(tee -a "$said" >&2) &
probe=$!
set +m
trap 'kill -INT "$probe" 2>/dev/null || true' INT TERM
alive() { kill -0 "$probe" 2>/dev/null; }

# The exit code of the prober, into `code`.
ended() { wait "$probe" && code=0 || code=$?; }

finish() {
    if [ -s "$report/summary.md" ]; then
        cat "$report/summary.md" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
    fi
    printf 'exit-code=%s\n' "$1" >>"${GITHUB_OUTPUT:-/dev/null}"
    exit "$1"
}

if [ -z "${CUTOVER_DEPLOY:-}" ]; then
    ended
    finish "$code"
fi

# It tells how many it sent every few seconds (with --json each second): from the first time on it knows the old
# version.
# No server's words are on these lines before the number.
until grep -q -e '^[0-9:.]*Z live  *sent=[1-9]' -e '^{"step":"live","at_ms":[0-9]*,"sent":[1-9]' "$said"; do
    if ! alive; then
        ended
        echo "the prober ended before the deploy began; nothing was deployed" >&2
        finish "$((code == 0 ? 3 : code))"
    fi
    sleep 0.1
done

deployed=0
bash -c "$CUTOVER_DEPLOY" || deployed=$?

if [ "$deployed" -ne 0 ]; then
    echo "the deploy command failed with exit code $deployed" >&2
    if alive; then kill -INT "$probe"; fi
    ended
    finish "$deployed"
fi

late=
deadline=$((SECONDS + CUTOVER_WITHIN))
while alive; do
    if [ -z "$late" ] && [ "$SECONDS" -ge "$deadline" ]; then
        late=yes
        echo "the version has not changed $CUTOVER_WITHIN s after the deploy command ended" >&2
        kill -INT "$probe"
    fi
    sleep 0.1
done
ended
# Requests that failed are said; that it was cut short is not news.
if [ -n "$late" ] && [ "$code" -eq 130 ]; then code=3; fi
finish "$code"
