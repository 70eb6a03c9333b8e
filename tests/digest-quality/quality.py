#!/usr/bin/env python3
"""Measures how well lines are grouped into templates, against PyPI `drain3` and any other miner.

    python3 tests/digest-quality/quality.py golden [--peer NAME=COMMAND]…

Corpora: the captures of one side of `golden/split.toml` whose program says which statement wrote a line (`caller=` in
logfmt, `"caller":` in JSON). Two ground truths, both taken from the line itself and never seen by a miner, because
caller and timestamp are cut out of what it reads:

- statement: lines written by one statement at one level are one template;
- cause: the same, and the text of `err`, `error` or `reason` must also be the same once quoted strings, paths, addresses
  and everything with a digit is taken out: a digest must not count a refused connection under a full disk.

GA is the share of lines whose group is exactly the true one (Zhu et al. 2019, "Tools and Benchmarks for Automated Log
Parsing"); F1 is the same over groups, each counted once (FGA in Jiang et al. 2024, "A Large-Scale Evaluation for Log
Parsing Techniques"). `drain3` runs as it comes and with masks for addresses, hexadecimal ids and numbers; each at its
default threshold. A peer's COMMAND gets a file name and prints `group<TAB>…` for every line. Needs Python 3.11; `drain3`
if it is to be compared.
"""

import argparse
import gzip
import re
import subprocess
import tempfile
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("alertmanager", "etcd", "loki", "node-exporter", "prometheus", "tempo")
CALLER = re.compile(r'(?:^| )caller=(\S+) ?|"caller":"([^"]+)",?')
TIME = re.compile(r'(?:^| )ts=\S+ ?|"ts":"[^"]*",?')
LEVEL = re.compile(r'level=(\w+)|"level":"(\w+)"')
CAUSE = re.compile(r'(?:err|error|reason)=("(?:[^"\\]|\\.)*"|\S+)|"(?:err|error|reason)":"((?:[^"\\]|\\.)*)"')
VARIABLE = re.compile(r'\\?"[^"]*"|\S*[/\d]\S*')
MASKS = [(r"((?<=[^A-Za-z0-9])|^)(\d{1,3}\.){3}\d{1,3}(:\d+)?((?=[^A-Za-z0-9])|$)", "IP"),
         (r"((?<=[^A-Za-z0-9])|^)([0-9a-f]{6,}-?)+((?=[^A-Za-z0-9])|$)", "ID"),
         (r"((?<=[^A-Za-z0-9])|^)0x[a-f0-9A-F]+((?=[^A-Za-z0-9])|$)", "HEX"),
         (r"((?<=[^A-Za-z0-9])|^)[+-]?\d+((?=[^A-Za-z0-9])|$)", "NUM")]


def load(path):
    return tomllib.loads(path.read_text())["capture"]


def corpora(side):
    sides = {c["id"]: c["side"] for c in load(ROOT / "golden/split.toml")}
    found = defaultdict(list)
    for capture in load(ROOT / "golden/captures/captures.toml"):
        if sides[capture["id"]] == side and capture["program"] in PROGRAMS:
            data = gzip.decompress((ROOT / f"golden/captures/{capture['id']}.log.gz").read_bytes())
            found[capture["program"]] += data.decode(errors="replace").split("\n")
    return found


def truth(line):
    """(what a miner reads, statement, cause), or None where the line does not name its statement."""
    caller, level = CALLER.search(line), LEVEL.search(line)
    if not caller or not level:
        return None
    read = TIME.sub(" " if "ts=" in line else "", CALLER.sub(" " if "caller=" in line else "", line, count=1), count=1)
    statement = (caller[1] or caller[2], level[1] or level[2])
    cause = CAUSE.search(read)
    text = VARIABLE.sub("", (cause[1] or cause[2] or "").strip('"')) if cause else ""
    return read.strip(), statement, statement + (text,)


def scores(predicted, true):
    members, wanted = defaultdict(list), defaultdict(list)
    for index, (group, want) in enumerate(zip(predicted, true)):
        members[group].append(index)
        wanted[want].append(index)
    exact = {tuple(lines) for lines in wanted.values()}
    hits = [lines for lines in members.values() if tuple(lines) in exact]
    precision, recall = len(hits) / len(members), len(hits) / len(wanted)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return sum(map(len, hits)) / len(true), f1, len(members)


def drain3(lines, masked):
    from drain3 import TemplateMiner
    from drain3.masking import MaskingInstruction
    from drain3.template_miner_config import TemplateMinerConfig
    config = TemplateMinerConfig()
    config.masking_instructions = [MaskingInstruction(*mask) for mask in MASKS] if masked else []
    miner = TemplateMiner(config=config)
    return [miner.add_log_message(line)["cluster_id"] for line in lines]


def command(words, lines):
    with tempfile.NamedTemporaryFile("w", suffix=".log") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        out = subprocess.run([*words, file.name], check=True, capture_output=True, text=True).stdout
    return [line.split("\t")[0] for line in out.splitlines()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=("training", "golden"))
    parser.add_argument("--digest", default="cargo bench --quiet --bench digest -- templates")
    parser.add_argument("--peer", action="append", default=[])
    args = parser.parse_args()
    miners = {"digest": lambda lines: command(args.digest.split(), lines)}
    try:
        import drain3 as _
        miners["drain3"] = lambda lines: drain3(lines, False)
        miners["drain3, 4 masks"] = lambda lines: drain3(lines, True)
    except ImportError:
        print("drain3 is not installed: not compared\n")
    for peer in args.peer:
        name, words = peer.split("=", 1)
        miners[name] = lambda lines, words=words: command(words.split(), lines)
    print("corpus | lines | true: statements, causes | miner | templates | GA statement | F1 statement | GA cause | F1 cause")
    print("--- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---:")
    sums = defaultdict(Counter)
    for program, raw in sorted(corpora(args.side).items()):
        rows = [row for row in map(truth, raw) if row]
        lines, statements, causes = (list(column) for column in zip(*rows))
        for name, mine in miners.items():
            groups = mine(lines)
            assert len(groups) == len(lines), f"{name}: {len(groups)} groups for {len(lines)} lines"
            (ga, f1, count), (ga_cause, f1_cause, _) = scores(groups, statements), scores(groups, causes)
            sums[name].update(ga=ga, f1=f1, ga_cause=ga_cause, f1_cause=f1_cause, n=1)
            print(f"{program} | {len(lines)} | {len(set(statements))}, {len(set(causes))} | {name} | {count} | "
                  f"{ga:.3f} | {f1:.3f} | {ga_cause:.3f} | {f1_cause:.3f}")
    for name, total in sums.items():
        mean = {key: total[key] / total["n"] for key in ("ga", "f1", "ga_cause", "f1_cause")}
        print(f"mean | | | {name} | | {mean['ga']:.3f} | {mean['f1']:.3f} | {mean['ga_cause']:.3f} | {mean['f1_cause']:.3f}")


if __name__ == "__main__":
    main()
