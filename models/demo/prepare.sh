#!/usr/bin/env bash
# prepare.sh WORK: draws the training cases and has Assay render them. Needs `assay` built; reads the training captures only.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
assay=${ASSAY:-$root/target/release/assay}

cases() { python3 "$here/generate.py" --captures "$root/golden" --seed "$1" --count "$2" --small "$3" "${@:4}" > "$work/cases-$1.jsonl"; }
render() { "$assay" prompt render --root "$root" --cases "$work/cases-$1.jsonl" --prompt "$2" --budget "$3" --answers > "$work/$4.jsonl"; }

cases 1 12000 0.85
cases 2 16000 0.5
cases 100 480 0.6 --held-out --capture-share 0   # wordings that no training case uses
cases 101 480 0.6 --capture-share 1              # windows of the training captures
render 1 triage@1 100 train-100
render 1 triage@1 200 train-200
render 2 triage@1 330 train-330
render 2 triage@1 500 train-500
render 100 triage@1 330 heldout-wordings
render 101 triage@1 330 training-captures

head -n 1 "$work/cases-100.jsonl" > "$work/one.jsonl"
for prompt in triage@1 triage@2 gitops@1 monitoring@1 llm-inference@1 logging@1 kube-system@1; do
  "$assay" prompt render --root "$root" --cases "$work/one.jsonl" --prompt "$prompt" --budget 500
done | python3 -c 'import json, sys; rows = map(json.loads, sys.stdin); print(json.dumps({r["prompt"]: r["system"] for r in rows}))' > "$work/systems.json"
