#!/usr/bin/env python3
"""Cuts windows with a known decisive line out of the captures of one side of `golden/split.toml`, for tuning the digest.

    python3 tests/digest-quality/windows.py training > windows.jsonl

Every capture with a fault gives windows of several lengths around a decisive line (early, in the middle, late), some
with the output of one to three other programs mixed in. Same input, same bytes. Python 3.11, standard library only.
"""

import json
import random
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "golden"))
import cut  # noqa: E402

LENGTHS = (60, 400, 1500)
PLACES = (0.05, 0.5, 0.95)


def window(rng, captures, side, name, length, where):
    lines, times = captures.lines(name)
    patterns = [re.compile(text) for text in captures.meta[name]["decisive"]]
    hits = [i for i, line in enumerate(lines) if any(p.search(line) for p in patterns)]
    if not hits:
        return None
    # Around the first hit or around any: a window from Loki begins somewhere.
    hit = hits[0] if rng.random() < 0.5 else rng.choice(hits)
    first = max(0, min(hit - int(length * where), len(lines) - length))
    last = min(len(lines), first + length)
    rows = [(times[i], 0, lines[i]) for i in range(first, last)]
    streams = [{"container": captures.meta[name]["program"]}]
    others = [c for c in captures.meta
              if captures.side[c] == side and captures.meta[c]["program"] != captures.meta[name]["program"]
              and captures.meta[c]["root_cause"] == "none"]
    noise = min(rng.choice((0, 0, 1, 2, 3)), len(others))
    for index, other in enumerate(rng.sample(others, noise), 1):
        streams.append({"container": captures.meta[other]["program"]})
        more, when = captures.lines(other)
        begin = rng.randrange(max(1, len(more) - length))
        piece = list(zip(when[begin:begin + length], more[begin:begin + length]))
        rows += [(time, index, line) for time, line in cut.place(piece, rows[0][0], rows[last - first - 1][0], 0)]
    rows.sort(key=lambda row: row[0])
    decisive = [i for i, (_, index, line) in enumerate(rows) if index == 0 and any(p.search(line) for p in patterns)]
    return {
        "id": f"{name}-{length}-{where}", "cluster": name, "streams": streams,
        "entries": [[str(time), index, line] for time, index, line in rows],
        "target": {"decisive": decisive, "patterns": captures.meta[name]["decisive"]},
    }


def main():
    side = sys.argv[1]
    captures = cut.Captures(ROOT / "golden")
    rng = random.Random(1)
    for name in sorted(captures.meta):
        if captures.side[name] != side:
            continue
        for length in LENGTHS:
            for where in PLACES:
                made = window(rng, captures, side, name, length, where)
                if made and len(made["entries"]) >= 5:
                    print(json.dumps(made, ensure_ascii=False))


if __name__ == "__main__":
    main()
