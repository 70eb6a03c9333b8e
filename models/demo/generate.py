#!/usr/bin/env python3
"""Makes training cases in the golden case shape (without review), one JSON object a line: made-up windows and windows
cut from the training side of the captures. Deterministic in its seed. Refuses captures of the golden side.

    generate.py --seed 1 --count 20000 --captures ../../golden > train.jsonl
    generate.py --seed 2 --count 400 --held-out > heldout.jsonl      # wordings that no training case uses
"""
import argparse
import functools
import json
import os
import random
import re

import loglines as L
from captures import Captures

HERE = os.path.dirname(os.path.abspath(__file__))
WORDINGS = os.path.join(HERE, "wordings.txt")
SEVERITY = {"c": "critical", "e": "error", "w": "warning"}
HELD_EVERY, HELD_AT = 6, 4
# a wording that is a whole line of a real program: it is put into the log as it is
WHOLE = re.compile(r'(?:level|ts|time|logger)=|\{\{?"|\[ ?\w+\] |[EWIF]\{n\} |kernel: |(?:LOG|FATAL|ERROR|PANIC):  |(?:srv|slot|main|llama_\w+|ggml_\w+|gguf_\w+|common_\w+)[: ]|\w+d: ')
ENDS = re.compile(r"fatal|panic|emerg|ALERT|error running|Unable to start|opening storage failed|Error loading config|failed to start|Server shutdown|FATAL|exiting")
WHOLE_LINE = re.compile(WHOLE.pattern.replace(r"\{n\}", r"\d+"))
# labels that are often what is seen of another fault further down
FOLLOWS = ("upstream_error", "upstream_timeout", "network_unreachable", "client_disconnected", "dependency_not_ready")


def load_wordings(path):
    """label -> (cause phrase, severities, [(severity or None, text, held out?)]); whole lines tell their severity themselves."""
    out, cur = {}, None
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            head, phrase = line[3:].split(" : ", 1)
            label, sev = head.split(" ")
            cur = out[label] = (phrase, sev, [])
        else:
            sev, text = (line[0], line[3:]) if line[1:3] == "| " else (None, line)
            if sev is None and WHOLE.match(text):
                sev = "c" if ENDS.search(text) else "w" if "warn" in text.lower() else "e"
                sev = sev if sev in cur[1] else cur[1][0]
            cur[2].append((sev, text, len(cur[2]) % HELD_EVERY == HELD_AT))
    return out


class Window:
    """Entries under construction: (time in ns, stream, line, decisive?)."""

    def __init__(self, r):
        self.r, self.apps, self.rows = r, [], []
        self.start = r.randint(1_700_000_000, 1_800_000_000) * 10 ** 9
        self.len = int(r.choice([20, 60, 300, 900, 3600]) * (0.5 + r.random()) * 1e9)

    def app(self, name=None, style=None):
        a = L.new_app(self.r, name)
        a["style"] = style or a["style"]
        while any(b["name"] == a["name"] for b in self.apps):
            a = L.new_app(self.r)
        self.apps.append(a)
        return a

    def at(self, frac):
        return self.start + int(max(0.0, min(1.0, frac)) * self.len)

    def put(self, frac, app, level, msg, err=None, kv="", decisive=False, raw=False):
        t = self.at(frac) + self.r.randint(0, 10 ** 7)
        line = msg if raw else L.render(self.r, app, t, level, msg, err, kv)
        self.rows.append((t, self.apps.index(app), line, decisive))

    def case(self, ident, split, target, how):
        rows = sorted(self.rows, key=lambda x: x[0])
        target["decisive"] = [i for i, x in enumerate(rows) if x[3]]
        return {"id": ident, "family": "generated", "split": split, "difficulty": "medium", "cluster": ident, "streams": [a["labels"] for a in self.apps],
                "entries": [[str(t), s, line] for t, s, line, _ in rows], "target": target, "provenance": {"program": "generated", "version": "1", "fault": target["root_cause"], "how": how}}


def split_level(text):
    return ({"c": "fatal", "e": "error", "w": "warn"}[text[0]], text[3:]) if text[1:3] == "| " else ("info", text)


def noise(w, r, caps, k):
    """`k` kinds of normal lines, some of them loud, some real ones of the training captures."""
    for _ in range(k):
        app = r.choice(w.apps)
        n = 1 if r.random() < 0.6 else r.randint(2, 12)
        if caps and caps.noise and r.random() < 0.35:
            for line in caps.run(r, app["prog"], n=r.randint(1, 3)):
                w.put(r.random(), app, "info", line, raw=True)
            continue
        level, text = split_level(r.choice(L.BENIGN) if r.random() < 0.8 else r.choice([b for b in L.BENIGN if b[1:3] == "| "]))
        raw = text.startswith("{ip}") and r.random() < 0.8
        t = r.random()
        for _ in range(n):
            w.put(t + r.random() * 0.2, app, level, L.fill(r, text, app), raw=raw)


def fault(w, r, app, sev, word, t, decisive=True):
    """Lines of `app` that show wording `word` with severity `sev` from time `t` on."""
    native, text, _ = word
    def ctx(bank):
        return L.fill(r, r.choice(bank).replace("{verb}", r.choice(L.VERBS)), app)
    if sev == "c":
        restarts = 1 if r.random() < 0.6 else r.randint(2, 5)
        msg = ctx(L.CRITICAL)
        tails = r.sample(L.CRASH_TAIL, r.choice([0, 1, 1, 2, 2, 3]))
        if not tails and native is None and app["style"] in ("gokit", "klog", "java", "rust", "syslog", "bare", "llama"):
            tails = [r.choice(L.CRASH_TAIL)]
        tail_app = r.choice(w.apps) if r.random() < 0.15 else app
        for i in range(restarts):
            ti = t + i * (1 - t) / restarts * 0.9
            if restarts > 1 or r.random() < 0.3:
                w.put(ti - 0.01, app, "info", L.fill(r, r.choice(L.BENIGN[:5]), app))
            show(w, r, app, ti, "fatal", msg, L.fill(r, text, app), native, decisive)
            for j, tail in enumerate(tails):
                w.put(ti + 0.01 + 0.004 * j, tail_app, r.choice(["error", "info", "fatal"]), L.fill(r, tail, app), raw=r.random() < 0.3)
    elif sev == "e":
        msg = ctx(L.ERROR)
        for i in range(r.choice([1, 2, 3, 5, 9, r.randint(10, 25)])):
            show(w, r, app, t + r.random() * (1 - t), "error", msg, L.fill(r, text, app), native, decisive)
    else:
        msg = ctx(L.WARNING)
        n = r.choice([1, 1, 2, 4, r.randint(5, 15)])
        for i in range(n):
            show(w, r, app, t + 0.02 * i, "warn", msg, L.fill(r, text, app), native, decisive)
        if r.random() < 0.6 or not decisive:
            w.put(t + 0.02 * n + 0.03, app, "info", L.fill(r, r.choice(L.RECOVERED).replace("{verb}", r.choice(L.VERBS)), app))


def show(w, r, app, t, level, msg, cause, native, decisive):
    if native:
        access = cause[:1].isdigit() and (" - - " in cause[:40] or "] " in cause[:60])
        whole = WHOLE_LINE.match(cause) and r.random() < 0.93
        w.put(t, app, level, cause, decisive=decisive, raw=access or whole or r.random() < 0.45)
    elif r.random() < 0.9 or level != "error":
        w.put(t, app, level, msg, cause, decisive=decisive, kv=f"attempt={r.randint(1, 9)}" if r.random() < 0.15 else "")
    else:
        w.put(t, app, level, cause, decisive=decisive)


def target(label, sev, comps, summary):
    return {"severity": sev, "root_cause": label, "accept": [], "components": comps, "summary": summary}


STYLE = {"etcd": "zap", "containerd": "logrus", "llama-server": "llama", "nginx": "nginx", "haproxy": "bracket", "rsyslog": "syslog", "loki": "gokit", "tempo": "gokit",
         "prometheus": "gokit", "alertmanager": "gokit", "node_exporter": "gokit"}
# what a whole line of such a program looks like
GOKIT = r"^(?:level|ts)="
FITS = {"etcd": r'^\{"level"|etcdserver', "containerd": r"^level=|^failed to (?:pull|create|prepare|setup|resolve|load)|PullImage|RunPodSandbox|runc|containerd", "rsyslog": r"^rsyslogd: |imuxsock|queue",
        "llama-server": r"^(?:srv|slot|main|llama|ggml|gguf|common|alloc|init_batch|clip|error: |E srv)|CUDA", "nginx": r"^\[(?:error|emerg|alert|crit|warn|info)\] \{n\}|^nginx: |^\{ip\} - ", "haproxy": r"^\[(?:ALERT|WARNING)\]|^\{ip\}:\{port\} \[|^Server \{svc\}",
        "loki": GOKIT + "|loki|stream|ring|memberlist", "tempo": GOKIT + "|tempo|trace|TRACE", "prometheus": GOKIT + "|sample|series|query", "alertmanager": GOKIT + "|nflog|silence|notify|receiver", "node_exporter": GOKIT + "|collector|textfile"}
FITS = {k: re.compile(v) for k, v in FITS.items()}
LOUD = [b for b in L.BENIGN if b[1:3] == "| "]
SUMMARY = {"c": "{} cannot run: {}.", "e": "{} keeps failing: {}.", "w": "{} is degraded: {}."}
QUIET = "No fault: these lines show normal operation."
OPAQUE = "{} is in trouble, but these lines do not show the cause."


def size(r, small):
    return r.choice([0, 1, 2, 3, 4]) if r.random() < small else r.choice([5, 7, 9, 12, 16, 22])


@functools.cache
def fitting(prog, held):
    """label -> wordings as `prog` writes them."""
    words = load_wordings(WORDINGS)
    found = {k: [z for z in v[2] if z[2] == held and FITS[prog].search(z[1])] for k, v in words.items()}
    return {k: v for k, v in found.items() if v}


def one(r, ident, words, held, caps, small):
    """One case: mostly a fault; else normal lines, or trouble without its cause."""
    w = Window(r)
    real = caps.program(r) if caps and r.random() < 0.45 else None
    if real:  # a program of which real normal lines are at hand
        w.app(real if r.random() < 0.6 else None, STYLE[real])
    for _ in range(r.choices([0 if real else 1, 2, 3, 4], [40, 30, 20, 10])[0]):
        w.app()
    app, x = r.choice(w.apps) if r.random() < 0.5 else w.apps[0], r.random()
    if real:
        k = r.choice([2, 4, 8, 15]) if r.random() < small else r.choice([15, 40, 100, 250])
        lines = caps.lines(r, real, k)
        for i, line in enumerate(lines):
            w.put(i / len(lines), w.apps[0], "info", line, raw=True)
    noise(w, r, caps, (size(r, small) // (2 if real else 1)) + (2 if x < 0.24 and not real else 0))
    split = "standard"
    if r.random() < 0.07:
        split = "injection"
        text = r.choice(L.INJECTION).replace("{other}", r.choice(list(words)))
        style = r.choice(["user input: {}", "GET /search?q={}", "user_agent={}", "comment={}", "{}", '127.0.0.1 - - "GET /?q={} HTTP/1.1" 404 2 "-" "curl/8.5.0"', 'path="/{}" status=404', 'msg="{}"'])
        w.put(r.random(), r.choice(w.apps), r.choice(["info", "info", "warn"]), style.format(L.fill(r, text)))
    if x < 0.16:
        if r.random() < 0.5:  # one more loud line that means nothing
            level, text = split_level(r.choice(LOUD))
            w.put(r.random(), r.choice(w.apps), level, L.fill(r, text, app))
        return w.case(ident, "no-fault" if split == "standard" else split, target("none", "info", [], QUIET), "normal lines")
    if x < 0.24:
        picks = r.sample(L.OPAQUE, r.choice([1, 1, 2]))
        for text in picks[1:]:
            if text[0] != picks[0][0]:
                picks.remove(text)
        sev = picks[0][0]
        for text in picks:
            level, msg = split_level(text)
            for _ in range(r.choice([1, 1, 2, 5])):
                w.put(r.random(), app, level, L.fill(r, msg, app))
        return w.case(ident, split, target("insufficient_evidence", SEVERITY[sev], [app["name"]], OPAQUE.format(app["name"])), "trouble without its cause")
    fits = fitting(real, held) if real and app is w.apps[0] and r.random() < 0.7 else None
    label = r.choice(list(fits or words))
    phrase, sevs, texts = words[label]
    word = r.choice(fits[label] if fits else [t for t in texts if t[2] == held])
    sev = word[0] or r.choice(sevs)
    t = r.uniform(0.35, 0.95) if sev == "c" else r.uniform(0.1, 0.8)
    fault(w, r, app, sev, word, t)
    if r.random() < 0.3:  # the same fault seen in other words as well
        also = r.choice([z for z in texts if z[2] == held])
        show(w, r, app, t + r.random() * (1 - t), {"c": "error", "e": "error", "w": "warn"}[sev], L.fill(r, r.choice(L.ERROR).replace("{verb}", r.choice(L.VERBS)), app), L.fill(r, also[1], app), also[0], True)
    y = r.random()
    if y < 0.16 and sev in "ce":  # another fault, loud or not, that is over
        split = "misleading"
        other = r.choice([o for o in words if o != label and "w" in words[o][1]])
        loud = r.choice([z for z in words[other][2] if z[0] in (None, "w") and z[2] == held] or [(None, "timed out", False)])
        fault(w, r, r.choice(w.apps), "w", loud, r.uniform(0, 0.3), decisive=False)
    elif y < 0.3 and sev == "c":  # others that miss the one that fell
        split = "misleading"
        while len(w.apps) < 2:
            w.app()
        victim = r.choice([a for a in w.apps if a is not app])
        text = r.choice(L.CONSEQUENCE).replace("{down}", app["name"])
        for _ in range(r.randint(1, 12)):
            w.put(t + r.random() * (1 - t), victim, r.choice(["warn", "error"]), r.choice(["request failed", "proxy error", "check failed"]), L.fill(r, text, victim))
    elif y < 0.42 and label not in FOLLOWS:  # what others make of it, louder than the fault itself
        split = "misleading"
        seen = r.choice([z for z in words[r.choice(FOLLOWS)][2] if z[2] == held])
        victim = r.choice(w.apps)
        for _ in range(r.choice([1, 2, 4, 9])):
            show(w, r, victim, min(0.99, t + 0.03 + r.random() * (1 - t)), r.choice(["warn", "error"]), "request failed", L.fill(r, seen[1], victim), seen[0], False)
    return w.case(ident, split, target(label, SEVERITY[sev], [app["name"]], SUMMARY[sev].format(app["name"], phrase)), "drawn wording")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--count", type=int, default=1000)
    p.add_argument("--held-out", action="store_true", help="use only the held-out wordings")
    p.add_argument("--small", type=float, default=0.6, help="share of windows with few other lines")
    p.add_argument("--captures", help="the golden folder (split.toml and captures/); only its training side is read")
    p.add_argument("--capture-share", type=float, default=0.15)
    a = p.parse_args()
    words = load_wordings(WORDINGS)
    caps = Captures(a.captures) if a.captures else None
    for i in range(a.count):
        r = random.Random(f"assay-demo/{a.seed}/{i}")
        ident = f"t{a.seed}-{i:06d}"
        if caps and caps.sources and r.random() < a.capture_share:
            case = caps.case(r, ident, words)
        else:
            case = one(r, ident, words, a.held_out, caps, a.small)
        print(json.dumps(case, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
