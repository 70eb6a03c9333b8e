#!/usr/bin/env bash
# prepare.sh WORK [SHARE]: draws the training cases and has Assay render them. Needs `assay` built ($ASSAY, else target/release);
# reads the training captures only. A SHARE such as 0.01 draws so much of them, to see that every step works.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "${1:?usage: prepare.sh WORK [SHARE]}"
work=$(cd "$1" && pwd)
share=${2:-1}
assay=${ASSAY:-$root/target/release/assay}
[ -x "$assay" ] || { echo "error: no program at $assay: cargo build --release --bin assay" >&2; exit 1; }

some() { awk "BEGIN { print int($1 * $share + 0.5) }"; }
cases() { python3 "$here/generate.py" --captures "$root/golden" --seed "$1" --count "$(some "$2")" --small "$3" "${@:4}" > "$work/cases-$1.jsonl"; }
render() { "$assay" prompt render --root "$root" --cases "$work/cases-$1.jsonl" --prompt triage@1 --budget "$2" --answers > "$work/$3.jsonl"; }

cases 11 20000 0.97
cases 12 14000 0.5
cases 100 480 0.6 --held-out --capture-share 0   # wordings that no training case uses
cases 101 480 0.6 --capture-share 1              # windows of the training captures
render 11 110 train-110
render 12 400 train-400                          # the budget of experiments/demo.toml
render 100 400 heldout-wordings
render 101 400 training-captures

head -n 1 "$work/cases-100.jsonl" > "$work/one.jsonl"
for prompt in triage@1 triage@2 gitops@1 monitoring@1 llm-inference@1 logging@1 kube-system@1; do
  "$assay" prompt render --root "$root" --cases "$work/one.jsonl" --prompt "$prompt" --budget 400
done | python3 -c 'import json, sys; rows = map(json.loads, sys.stdin); print(json.dumps({r["prompt"]: r["system"] for r in rows}))' > "$work/systems.json"
