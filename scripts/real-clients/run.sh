#!/usr/bin/env bash
# Real benchmark clients against `metron-sim mock`: what their files say, beside what was sent.
#
#   scripts/real-clients/run.sh [FOLDER] [CLIENT...]
#
# CLIENT: ours, guidellm, aiperf, inference-perf, vllm (large: brings PyTorch). All of them by default. Each is
# installed from PyPI into an environment of its own.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-real-clients}
shift || true
clients=${*:-ours guidellm aiperf inference-perf vllm}
port=${PORT:-18251}
metron=${METRON:-$here/../../target/release/metron-sim}
url=http://127.0.0.1:$port
mkdir -p "$folder" && cd "$folder" || exit 1
python3 "$here/make_tokenizer.py" tokenizer
export HF_HUB_DISABLE_TELEMETRY=1

environment() { # NAME PACKAGE...
    [ -x "env-$1/bin/$1" ] && return
    python3 -m venv "env-$1" && "env-$1/bin/pip" install --quiet "${@:2}"
}

# Starts the mock server, runs a client, stops the server, compares.
against() { # NAME FILE COMMAND...
    local name=$1 file=$2
    shift 2
    rm -f "$name-sent.csv"
    "$metron" mock "$here/calm.yaml" --port "$port" --model m --tokens "$name-sent.csv" >"$name-mock.log" 2>&1 &
    local mock=$!
    until curl -s -o /dev/null "$url/health"; do sleep 0.2; done
    "$@" >"$name.log" 2>&1 || { echo "$name failed: $(tail -1 "$name.log")"; }
    kill -INT "$mock"
    wait "$mock"
    tail -1 "$name-mock.log"
    file=$(ls -t $file 2>/dev/null | head -1)
    if [ -n "$file" ]; then
        python3 "$here/compare.py" "$metron" "$name" "$file" "$name-sent.csv"
    else
        echo "$name wrote no file"
    fi
}

for client in $clients; do
    case $client in
    ours)
        against ours ours.csv "$metron" bench "$here/calm.yaml" --url "$url" --warmup 0 --tokens ours.csv
        ;;
    guidellm)
        environment guidellm guidellm || continue
        against guidellm guidellm.json env-guidellm/bin/guidellm run --disable-console \
            --backend "kind=openai_http,target=$url,model=m,request_format=/v1/completions" \
            --profile kind=constant,rate=5 --constraint kind=max_requests,count=50 \
            --tokenizer kind=hf_auto,model=tokenizer \
            --data kind=synthetic_text,prompt_tokens=100,output_tokens=50 \
            --output kind=json,path=guidellm.json
        ;;
    aiperf)
        environment aiperf aiperf || continue
        rm -rf aiperf-artifacts
        against aiperf 'aiperf-artifacts/profile_export.jsonl aiperf-artifacts/*/profile_export.jsonl' \
            env-aiperf/bin/aiperf profile -m m --url "$url" --endpoint-type completions --streaming \
            --tokenizer "$PWD/tokenizer" --request-rate 5 --request-count 50 --isl 100 --osl 50 \
            --extra-inputs ignore_eos:true --artifact-dir aiperf-artifacts --ui none
        ;;
    inference-perf)
        environment inference-perf inference-perf || continue
        cat >inference-perf.yaml <<YAML
api: {type: completion, streaming: true}
data:
  type: random
  input_distribution: {min: 100, max: 100, mean: 100, std_dev: 0, total_count: 50}
  output_distribution: {min: 50, max: 50, mean: 50, std_dev: 0, total_count: 50}
load: {type: constant, stages: [{rate: 5, duration: 10}]}
server: {type: vllm, model_name: m, base_url: $url, ignore_eos: true}
tokenizer: {pretrained_model_name_or_path: tokenizer}
report: {request_lifecycle: {summary: true, per_stage: true, per_request: true}}
storage: {local_storage: {path: inference-perf-reports}}
YAML
        rm -rf inference-perf-reports
        against inference-perf 'inference-perf-reports/per_request_lifecycle_metrics.json' \
            env-inference-perf/bin/inference-perf --config_file inference-perf.yaml
        ;;
    vllm)
        environment vllm vllm || continue
        against vllm vllm.json env-vllm/bin/vllm bench serve --backend openai --base-url "$url" \
            --endpoint /v1/completions --model m --tokenizer tokenizer --dataset-name random \
            --random-input-len 100 --random-output-len 50 --num-prompts 50 --request-rate 5 \
            --ignore-eos --save-result --save-detailed --result-filename vllm.json
        ;;
    *) echo "no such client: $client" ;;
    esac
done
