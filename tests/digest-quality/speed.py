#!/usr/bin/env python3
"""Lines per second of PyPI `drain3` on the corpora of `cargo bench --bench digest -- speed`, for the same table.

    python3 tests/digest-quality/speed.py golden/golden-v1/cases.jsonl

Processor time of one thread over the first 10,000 lines of each component, the masks being those of quality.py.
"""

import json
import sys
import time
from collections import defaultdict

from quality import MASKS

LINES = 10_000


def main():
    from drain3 import TemplateMiner
    from drain3.masking import MaskingInstruction
    from drain3.template_miner_config import TemplateMinerConfig
    corpora = defaultdict(list)
    for path in sys.argv[1:]:
        for case in map(json.loads, open(path, encoding="utf-8")):
            for _, stream, line in case["entries"]:
                labels = case["streams"][stream]
                name = next((labels[key] for key in ("container", "app", "unit", "job") if key in labels), "-")
                corpora[name].append(line)
    print("corpus | miner | templates | lines/s")
    print("--- | --- | ---: | ---:")
    for name, lines in sorted(corpora.items()):
        if len(lines) < 100:
            continue
        for masked in (False, True):
            config = TemplateMinerConfig()
            config.masking_instructions = [MaskingInstruction(*mask) for mask in MASKS] if masked else []
            miner = TemplateMiner(config=config)
            start, count = time.process_time(), min(len(lines), LINES)
            for line in lines[:LINES]:
                miner.add_log_message(line)
            rate = count / (time.process_time() - start)
            print(f"{name} | drain3{', 4 masks' if masked else ''} | {len(miner.drain.clusters)} | {rate:,.0f}")


if __name__ == "__main__":
    main()
