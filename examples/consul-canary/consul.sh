# What run.sh and naive/naive.sh share beside the tools of all examples: a Consul, and a way to ask it. To be
# sourced; it knows nothing of either's story.

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$folder/../tools.sh" haproxy

# ask PORT METHOD PATH [LINE [BODY]]: head and body of the answer; LINE is one header line more.
ask() {
    local wire line=${4:+$4$'\r\n'} body=${5:-}
    exec {wire}<>"/dev/tcp/127.0.0.1/$1"
    printf '%s %s HTTP/1.0\r\n%sContent-Length: %d\r\n\r\n%s' "$2" "$3" "$line" "${#body}" "$body" >&"$wire"
    cat <&"$wire"
    exec {wire}>&-
}

# A Consul that has a leader takes what is put.
consul_leads() {
    [[ $(ask "$AGENT" PUT /v1/kv/there) == *true ]]
}

# A Consul with the ports that are asked for.
start_consul() {
    sed -e "s/8500/$AGENT/" -e "s/8600/$DNS/" -e "s/8301/$SERF/" -e "s/8300/$SERVER/" \
        "$folder/agent.json" >agent.json
    launch consul consul agent -config-file agent.json
    until_true 30 "Consul has a leader" consul_leads
}

AGENT=${AGENT:-8500} DNS=${DNS:-8600} SERF=${SERF:-8301} SERVER=${SERVER:-8300} PORT=${PORT:-48151}
OUT=$(realpath "${OUT:-.}")
CONSUL=$(command -v "${CONSUL:-consul}") || die "no consul: install it, or name it in \$CONSUL"
ln -s "$(realpath "$CONSUL")" "$work/bin/consul"
