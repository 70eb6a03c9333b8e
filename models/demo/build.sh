#!/usr/bin/env bash
# build.sh WORK [MINUTES]: trains on what prepare.sh made and writes the two GGUF files into WORK.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(cd "$1" && pwd)
[ -x "$work/venv/bin/python" ] || { python3 -m venv "$work/venv"; "$work/venv/bin/pip" install -q -r "$here/requirements.txt"; }
cd "$work"
nice -n 5 venv/bin/python "$here/train.py" --data train-100.jsonl train-200.jsonl train-330.jsonl train-500.jsonl \
  --held heldout-wordings.jsonl training-captures.jsonl --systems systems.json --out run --minutes "${2:-68}"
venv/bin/python "$here/export.py" run/last.npz run/tokenizer.json "$work/assay-demo" q8_0 q4_0
