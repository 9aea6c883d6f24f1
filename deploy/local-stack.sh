#!/usr/bin/env bash
# Phoenix and Tiebreak on loopback, without containers, and a traced caller that leaves something to
# look at. Ends with Ctrl-C, which stops both.
#
#   deploy/local-stack.sh [DIRECTORY]     default: ./local-stack, made if it is not there
#
# DIRECTORY keeps the Python environment (some 900 MB the first time), Phoenix's database and the store.
# PYTHON                python3.10 or later                            (python3)
# PHOENIX_PORT          the page and OTLP/HTTP                         (6006)
# PHOENIX_GRPC_PORT     OTLP/gRPC; Phoenix listens on all addresses    (4317)
# TIEBREAK_PORT         gRPC                                           (50051)
# TIEBREAK_HTTP_PORT    /readyz, /metrics                              (8080)
# TIEBREAK              the program; built from this checkout unless said
# ONCE=1                run the caller, check its scores, stop
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${1:-$PWD/local-stack}
python=${PYTHON:-python3}
phoenix_port=${PHOENIX_PORT:-6006}
phoenix_grpc_port=${PHOENIX_GRPC_PORT:-4317}
port=${TIEBREAK_PORT:-50051}
http_port=${TIEBREAK_HTTP_PORT:-8080}
phoenix_url=http://127.0.0.1:$phoenix_port
mkdir -p "$work"
work=$(cd "$work" && pwd)

started=()
stop() {
    for process in "${started[@]}"; do
        kill "$process" 2>/dev/null || true
    done
    wait
}
trap stop EXIT
trap 'exit 130' INT TERM

# Waits until a command succeeds; says what is waited for, and gives up after two minutes.
until_it() {
    local what=$1
    shift
    printf 'waiting for %s ' "$what"
    for _ in $(seq 240); do
        if "$@" >/dev/null 2>&1; then
            echo "- there"
            return
        fi
        printf '.'
        sleep 0.5
    done
    echo "- it does not come; the logs are in $work" >&2
    exit 1
}

if [ ! -x "$work/venv/bin/phoenix" ]; then
    echo "installing Phoenix into $work/venv; this takes some minutes"
    "$python" -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check \
        arize-phoenix==20.26.1 -r "$root/examples/python/requirements.txt"
fi
if ! "$work/venv/bin/python" -c 'import grpc_tools' 2>/dev/null; then
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check \
        -r "$root/examples/python/requirements.txt"
fi

tiebreak=${TIEBREAK:-}
if [ -z "$tiebreak" ]; then
    (cd "$root" && cargo build --locked)
    tiebreak=$root/target/debug/tiebreak
fi

PHOENIX_WORKING_DIR=$work/phoenix PHOENIX_HOST=127.0.0.1 PHOENIX_PORT=$phoenix_port \
    PHOENIX_GRPC_PORT=$phoenix_grpc_port PHOENIX_TELEMETRY_ENABLED=false \
    PHOENIX_ALLOW_EXTERNAL_RESOURCES=false PHOENIX_DISABLE_AGENT_ASSISTANT=true \
    PHOENIX_ENABLE_MCP_SERVER=false \
    "$work/venv/bin/phoenix" serve >"$work/phoenix.log" 2>&1 &
started+=($!)
until_it Phoenix curl -fsS "$phoenix_url/healthz"

"$tiebreak" serve --store "embedded:$work/store" \
    --grpc-listen "127.0.0.1:$port" --http-listen "127.0.0.1:$http_port" \
    --otlp-endpoint "http://127.0.0.1:$phoenix_grpc_port" --telemetry-project support-bot \
    --scores "phoenix=$phoenix_url" >"$work/tiebreak.log" 2>&1 &
started+=($!)
until_it Tiebreak curl -fsS "http://127.0.0.1:$http_port/readyz"

export TIEBREAK_ENDPOINT=http://127.0.0.1:$port
"$tiebreak" apply -f "$root/examples/support-bot.yaml"
# A second run finds it running.
"$tiebreak" start support-bot 2>/dev/null || true
"$work/venv/bin/python" "$root/examples/python/caller.py" \
    --phoenix "$phoenix_url" --tiebreak "127.0.0.1:$port"

# Phoenix takes spans into a queue: the scores are there when their spans are.
scored() {
    "$work/venv/bin/python" - "$phoenix_url" <<'PYTHON'
import json, sys, urllib.parse, urllib.request
url = sys.argv[1] + "/v1/projects/support-bot/"
get = lambda path: json.load(urllib.request.urlopen(url + path))["data"]
spans = [span for span in get("spans?limit=1000") if span["name"] == "chat"]
ids = urllib.parse.urlencode([("span_ids", span["context"]["span_id"]) for span in spans])
scores = get("span_annotations?limit=1000&" + ids)
sys.exit(not (spans and len(scores) >= 2 * len(spans)))
PYTHON
}
until_it "the scores in Phoenix" scored

cat <<TEXT

Traces of the caller, with the server's spans in them and scores on the LLM spans:
    $phoenix_url/projects
Results:
    TIEBREAK_ENDPOINT=$TIEBREAK_ENDPOINT tiebreak results support-bot
Metrics for Prometheus:
    http://127.0.0.1:$http_port/metrics
TEXT
if [ "${ONCE:-}" != 1 ]; then
    echo "Ctrl-C stops everything."
    wait
fi
