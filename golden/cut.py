#!/usr/bin/env python3
"""Cuts a golden dataset out of real captures, and checks it. Python 3.11, standard library only.

    python3 golden/cut.py golden-v1            writes golden/golden-v1/{cases.jsonl,dataset.toml}
    python3 golden/cut.py golden-v1 --verify   cuts again in memory, compares byte for byte, lints
    python3 golden/cut.py golden-v1 --stats    prints coverage

The decisions are in `windows.toml` (which lines, which noise, which labels, the target); this file only carries them
out, so that the same input gives the same bytes. It changes no line, except for the substitutions that a
window asks for; those, and what was renamed in its captures, stand in the case's provenance.

Time: an entry's timestamp is the one its line carries (one-second formats are spread over their second), moved on to
stay in order; a line without one follows its predecessor. Noise is shifted to begin with the window and, where it
lasts longer than the window, squeezed into it. So entry time and the clock inside a noise line may differ.
"""

import argparse
import calendar
import gzip
import hashlib
import json
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECOND = 1_000_000_000
STEP = 20_000  # between a line and one after it that carries no time of its own
SHORT = 2 * SECOND  # a window shorter than this does not squeeze its noise: the noise is laid around it
NO_CAUSE = ("none", "insufficient_evidence")
FAMILIES = ("kube-system", "logging", "llm-inference", "gitops", "monitoring")
SPLITS = ("standard", "misleading", "no-fault", "injection")
DIFFICULTIES = ("easy", "medium", "hard")
SEVERITIES = ("info", "warning", "error", "critical")
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
INJECTION = re.compile(r"(?i)ignore[-_ ](all|previous)")
MONTHS = {name: number for number, name in enumerate(
    "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
ISO = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")
CLF = re.compile(r"\[(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?: \+0000)?\]")
UPTIME = re.compile(r"(\d+)\.(\d\d)\.(\d{3})\.(\d{3}) [A-Z] ")
DMESG = re.compile(r"\[\s*(\d+)\.(\d{6})\] ")
HEAD = 160  # a timestamp further to the right belongs to the message


class Problem(Exception):
    """A mistake in the input; the message says where."""


# --- time -------------------------------------------------------------------------------------------------------

def nanos(fraction):
    return int((fraction or "0").ljust(9, "0"))


def wall(year, month, day, hour, minute, second, fraction):
    return calendar.timegm((year, month, day, hour, minute, second)) * SECOND + nanos(fraction)


def zone(text):
    if not text or text == "Z":
        return 0
    sign = -1 if text[0] == "-" else 1
    return sign * (int(text[1:3]) * 3600 + int(text[-2:]) * 60) * SECOND


def line_time(line):
    """(time in ns, whether the format has whole seconds only), or None."""
    found = ISO.search(line[:HEAD])
    if found:
        part = found.groups()
        return wall(*map(int, part[:6]), part[6]) - zone(part[7]), part[6] is None
    found = CLF.search(line[:HEAD])
    if found:
        day, month, year, hour, minute, second, fraction = found.groups()
        return (wall(int(year), MONTHS[month], int(day), int(hour), int(minute), int(second), fraction),
                fraction is None)
    return None


def uptimes(lines, start):
    """llama-server and the kernel print the time since their start: a step back is a new start, two seconds on."""
    base, last, times = start, -1, []
    for line in lines:
        found = UPTIME.match(line)
        if found:
            minute, second, milli, micro = map(int, found.groups())
            since = (minute * 60 + second) * SECOND + milli * 1_000_000 + micro * 1000
        else:
            found = DMESG.match(line)
            since = int(found[1]) * SECOND + int(found[2]) * 1000 if found else None
        if since is not None:
            if since < last:
                base += last + 2 * SECOND
            last = since
        times.append(None if since is None else (base + since, False))
    return times


def spread_seconds(times):
    """Lines that share a whole second are laid evenly over it."""
    out, index = [], 0
    while index < len(times):
        end = index + 1
        if times[index] is not None and times[index][1]:
            while end < len(times) and times[end] == times[index]:
                end += 1
        run = end - index
        out += [None if times[i] is None else times[i][0] + (i - index) * SECOND // run for i in range(index, end)]
        index = end
    return out


def clock(lines, start):
    """A time for every line, never going back."""
    relative = any(UPTIME.match(line) or DMESG.match(line) for line in lines[:50])
    times = spread_seconds(uptimes(lines, start) if relative else [line_time(line) for line in lines])
    first = next((time for time in times if time is not None), start)
    out, last = [], first - STEP * (1 + next((i for i, t in enumerate(times) if t is not None), 0))
    for time in times:
        last = max(last, time) if time is not None else last + STEP
        out.append(last)
    return out


# --- cutting ----------------------------------------------------------------------------------------------------

class Captures:
    def __init__(self, root):
        self.root = root
        self.meta = {c["id"]: c for c in load(root / "captures" / "captures.toml")["capture"]}
        self.side = {c["id"]: c["side"] for c in load(root / "split.toml")["capture"]}
        self.source = {c["id"]: c["source"] for c in load(root / "split.toml")["capture"]}
        self.cache = {}

    def lines(self, name):
        if name not in self.cache:
            if name not in self.meta:
                raise Problem(f"captures.toml knows no capture {name}")
            data = gzip.decompress((self.root / "captures" / f"{name}.log.gz").read_bytes())
            if hashlib.sha256(data).hexdigest() != self.meta[name]["sha256"]:
                raise Problem(f"{name}: the log is not the one captures.toml names")
            lines = data.decode().split("\n")[:-1]
            start = wall(2026, 11, 23, 22, 0, 0, None)
            self.cache[name] = (lines, clock(lines, start))
        return self.cache[name]

    def cut(self, piece):
        lines, times = self.lines(piece["capture"])
        first, last = piece["from"], piece["to"]
        if not 1 <= first <= last <= len(lines):
            raise Problem(f"{piece['capture']}: no lines {first} to {last} in {len(lines)}")
        return list(zip(times[first - 1:last], lines[first - 1:last]))


def load(path):
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{path}: {error}") from None


def place(noise, begin, end, after):
    """Shifts noise to the window's beginning (plus `after` seconds); squeezes it where it lasts too long."""
    first, last = noise[0][0], noise[-1][0]
    span, room = last - first, end - begin
    if room < SHORT and span > room:
        shift = begin - (first + span // 2) + int(after * SECOND)
        return [(time + shift, line) for time, line in noise]
    offset = begin + int(after * SECOND)
    room = end - offset
    if span <= room or room <= 0:
        return [(time - first + offset, line) for time, line in noise]
    return [(offset + (time - first) * room // span, line) for time, line in noise]


def changes(window, captures):
    """What was renamed in the captures that the window draws on, and in the window itself."""
    pieces = [window, *window.get("noise", [])]
    found = [captures.meta[piece["capture"]].get("changed") for piece in pieces] + [window.get("changed")]
    return "; ".join(dict.fromkeys(text for text in found if text)) or "nothing"


def cut_case(window, streams, captures):
    main = captures.cut(window)
    begin, end = main[0][0], main[-1][0]
    rows, names = [(time, 0, line) for time, line in main], [window["stream"]]
    for piece in window.get("noise", []):
        if piece["stream"] not in names:
            names.append(piece["stream"])
        index = names.index(piece["stream"])
        rows += [(time, index, line) for time, line in place(captures.cut(piece), begin, end, piece.get("after", 0))]
    for old, new in window.get("replace", []):
        rows = [(time, index, line.replace(old, new)) for time, index, line in rows]
    rows.sort(key=lambda row: row[0])
    for name in names:
        if name not in streams:
            raise Problem(f"{window['id']}: no stream {name}")
    target = window["target"]
    wanted = [re.compile(text) for text in target["decisive"]]
    scope = {names.index(name) for name in window.get("decisive_in", [window["stream"]])}
    decisive = [i for i, (_, index, line) in enumerate(rows)
                if index in scope and any(pattern.search(line) for pattern in wanted)]
    meta = captures.meta[window["capture"]]
    provenance = {key: meta[key] for key in ("program", "version", "fault", "how", "captured")}
    provenance["capture_sha256"] = meta["sha256"]
    provenance["changed"] = changes(window, captures)
    return {
        "id": window["id"], "family": window["family"], "split": window["split"],
        "difficulty": window["difficulty"], "cluster": window.get("cluster", window["capture"]),
        "streams": [streams[name] for name in names],
        "entries": [[str(time), index, line] for time, index, line in rows],
        "target": {"severity": target["severity"], "root_cause": target["root_cause"],
                   "accept": target.get("accept", []), "components": target["components"],
                   "summary": target["summary"], "decisive": decisive},
        "provenance": provenance,
        "review": {"by": "fault", "second": None},
    }


def second_pass(folder):
    path = folder / "second-pass.jsonl"
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {row["id"]: {"by": row.get("by", "model:claude"), "root_cause": row["root_cause"],
                        "severity": row["severity"], "components": row["components"]} for row in rows}


def cut_all(name):
    folder = HERE / name
    plan, captures, second = load(folder / "windows.toml"), Captures(HERE), second_pass(folder)
    cases = [cut_case(window, plan["streams"], captures) for window in plan["case"]]
    unknown = set(second) - {case["id"] for case in cases}
    if unknown:
        raise Problem(f"second-pass.jsonl: no case {', '.join(sorted(unknown))}")
    for case in cases:
        case["review"]["second"] = second.get(case["id"])
    return cases, captures, plan


def encode(cases):
    return "".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n" for case in cases).encode()


def dataset(name, cases, data):
    def table(title, key):
        counts = Counter(key(case) for case in cases)
        return [f"[counts.{title}]"] + [f'"{word}" = {counts[word]}' for word in sorted(counts)] + [""]
    head = [
        "# Written by golden/cut.py. A frozen dataset does not change: mistakes are put right in the next version.",
        f'name = "{name}"', "version = 1", "ontology = 1", "frozen = true",
        "# sha256 over the bytes of cases.jsonl", f'sha256 = "{hashlib.sha256(data).hexdigest()}"', "",
        "[counts]", f"total = {len(cases)}", f"clusters = {len({case['cluster'] for case in cases})}",
        f"entries = {sum(len(case['entries']) for case in cases)}",
        f"reviewed_twice = {sum(case['review']['second'] is not None for case in cases)}", ""]
    tables = table("family", lambda c: c["family"]) + table("split", lambda c: c["split"]) \
        + table("difficulty", lambda c: c["difficulty"]) + table("severity", lambda c: c["target"]["severity"]) \
        + table("root_cause", lambda c: c["target"]["root_cause"])
    return "\n".join(head + tables).rstrip("\n") + "\n"


# --- checks -----------------------------------------------------------------------------------------------------

def scenario_words(source):
    """Names that would give the fault away: the scenario with and without its program's prefix."""
    name = source.split("/")[1].split(".")[0]
    words = {name}
    prefix, _, rest = name.partition("-")
    if prefix in ("am", "containerd", "etcd", "haproxy", "llama", "nginx", "node", "prom", "rsyslog", "tempo"):
        words.add(rest)
    return {word for word in words if "-" in word}


def lint_case(case, window, number, captures, labels):
    say, target, count = [], case["target"], len(case["entries"])
    expect = f"g1-{number:03d}"
    if case["id"] != expect:
        say.append(f"id is not {expect}")
    for field, allowed in (("family", FAMILIES), ("split", SPLITS), ("difficulty", DIFFICULTIES)):
        if case[field] not in allowed:
            say.append(f"{field} {case[field]!r}")
    if not 5 <= count <= 2000:
        say.append(f"{count} entries, 5 to 2,000 allowed")
    times = [int(entry[0]) for entry in case["entries"]]
    if times != sorted(times):
        say.append("entries are not in order")
    used = {entry[1] for entry in case["entries"]}
    if used != set(range(len(case["streams"]))):
        say.append("a stream without entries, or an entry without a stream")
    if any(not LABEL_NAME.match(label) for stream in case["streams"] for label in stream):
        say.append("a label name that Loki does not take")
    for label in [target["root_cause"], *target["accept"]]:
        if label not in labels:
            say.append(f"the ontology has no {label}")
    if target["severity"] not in SEVERITIES:
        say.append(f"severity {target['severity']!r}")
    no_cause = target["root_cause"] in NO_CAUSE
    if bool(target["decisive"]) == no_cause:
        say.append(f"{len(target['decisive'])} decisive entries for {target['root_cause']}")
    if any(not 0 <= index < count for index in target["decisive"]):
        say.append("a decisive entry out of range")
    words = {label.get("container") or label.get("app") for label in case["streams"]}
    named = " ".join(case["entries"][index][2] for index in target["decisive"] if index < count)
    if any(word not in words and word not in named for word in target["components"]):
        say.append(f"components {target['components']}: neither among the streams' {sorted(words)} nor in a decisive line")
    if bool(target["components"]) == (target["root_cause"] == "none"):
        say.append("components and `none` disagree")
    if (target["severity"] == "info") != (target["root_cause"] == "none") and not no_cause:
        say.append("info is for `none` and insufficient_evidence")
    if len(target["summary"].split()) > 60:
        say.append("summary over 60 words")
    if any(INJECTION.search(entry[2]) for entry in case["entries"]) != (case["split"] == "injection"):
        say.append("split injection and lines that instruct the reader disagree")
    if case["split"] == "no-fault" and target["root_cause"] not in NO_CAUSE:
        say.append("a fault in split no-fault")
    used_captures = [window["capture"], *(piece["capture"] for piece in window.get("noise", []))]
    for capture in used_captures:
        if captures.side.get(capture) != "golden":
            say.append(f"{capture} is not on the golden side")
    forbidden = {target["root_cause"]} if "_" in target["root_cause"] else set()
    forbidden |= {word for capture in used_captures for word in (capture, *scenario_words(captures.source[capture]))}
    text = "\n".join(entry[2] for entry in case["entries"]).lower()
    text += json.dumps(case["streams"]).lower()
    say += [f"a line or label says {word!r}" for word in sorted(forbidden) if word.lower() in text]
    return say


def lint(cases, captures, plan, labels):
    say = [f"{case['id']}: {text}" for number, (case, window) in enumerate(zip(cases, plan["case"]), 1)
           for text in lint_case(case, window, number, captures, labels)]
    missing = set(captures.side) - set(captures.meta)
    if missing:
        say.append(f"split.toml names captures that captures.toml lacks: {sorted(missing)}")
    doubled = [name for name, count in Counter(captures.source.values()).items() if count > 1]
    if doubled or len(captures.side) != len(load(HERE / "split.toml")["capture"]):
        say.append(f"a capture stands twice in split.toml: {doubled}")
    shas = {}
    for name, meta in captures.meta.items():
        captures.lines(name)
        other = shas.setdefault(meta["sha256"], name)
        if captures.side[other] != captures.side[name]:
            say.append(f"{other} and {name} are the same log on both sides")
    clusters = Counter(case["cluster"] for case in cases)
    say += [f"{name}: {count} windows, 4 allowed" for name, count in clusters.items() if count > 4]
    seen = {}
    for case in cases:
        key = json.dumps(case["entries"])
        if key in seen:
            say.append(f"{case['id']} and {seen[key]} are the same window")
        seen[key] = case["id"]
    return say


def stats(cases):
    for title, key in (("family", lambda c: c["family"]), ("split", lambda c: c["split"]),
                       ("difficulty", lambda c: c["difficulty"]), ("severity", lambda c: c["target"]["severity"]),
                       ("root cause", lambda c: c["target"]["root_cause"])):
        print(title, dict(Counter(key(case) for case in cases).most_common()))
    sizes = sorted(len(case["entries"]) for case in cases)
    print("cases", len(cases), "clusters", len({case["cluster"] for case in cases}), "entries", sum(sizes))
    print("entries a case: min", sizes[0], "median", sizes[len(sizes) // 2], "max", sizes[-1],
          "over 800:", sum(size > 800 for size in sizes), "under 20:", sum(size < 20 for size in sizes))
    print("with more than one stream:", sum(len(case["streams"]) > 1 for case in cases))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="the dataset's folder beside this file")
    parser.add_argument("--verify", action="store_true", help="write nothing; compare and lint")
    parser.add_argument("--stats", action="store_true", help="write nothing; print coverage")
    options = parser.parse_args()
    cases, captures, plan = cut_all(options.name)
    data = encode(cases)
    folder = HERE / options.name
    if options.stats:
        stats(cases)
        return 0
    ontology = load(HERE.parent / "prompts" / "ontology" / "1.toml")
    problems = lint(cases, captures, plan, {label["name"] for label in ontology["label"]})
    description = dataset(options.name, cases, data)
    if options.verify:
        if (folder / "cases.jsonl").read_bytes() != data:
            problems.append("cases.jsonl is not what windows.toml and the captures give")
        if (folder / "dataset.toml").read_text() != description:
            problems.append("dataset.toml does not describe cases.jsonl")
    elif not problems:
        (folder / "cases.jsonl").write_bytes(data)
        (folder / "dataset.toml").write_text(description)
    for text in problems:
        print(text, file=sys.stderr)
    print(f"{options.name}: {len(cases)} cases, {len(data):,} bytes, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as error:
        sys.exit(f"cut.py: {error}")
