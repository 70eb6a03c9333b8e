#!/usr/bin/env bash
# build.sh WORK [MINUTES]: trains on what prepare.sh made, in two stages, and writes the three GGUF files into WORK.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(cd "${1:?usage: build.sh WORK [MINUTES]}" && pwd)
all=${2:-165}
cd "$work"
# Complete or not at all: an interrupted installation is made anew.
if [ ! -e venv/complete ]; then
  rm -rf venv
  python3 -m venv venv
  venv/bin/pip install -q -r "$here/requirements.txt"
  touch venv/complete
fi

# stage UNTIL MIX MIX PREFIXED PREFIXED: on to minute UNTIL of the whole training; the learning rate falls over its last 65 minutes
stage() {
  nice -n 2 venv/bin/python "$here/train.py" --data train-110.jsonl train-400.jsonl --held heldout-wordings.jsonl training-captures.jsonl \
    --systems systems.json --out run --minutes "$all" --until "$1" --decay 65 --mix "$2" "$3" --prefixed "$4" "$5" --resume
}
stage $((all * 6 / 10)) 168=1 168=5,272=3,416=2,544=2 0 0.3
stage "$all" 168=4,272=3,416=2,544=4 168=1,272=2,416=1,544=6 0.25 0.6
venv/bin/python "$here/export.py" run/last.npz run/tokenizer.json "$work/assay-demo" q8_0 q5_0 q4_0
