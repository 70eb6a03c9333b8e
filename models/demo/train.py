#!/usr/bin/env python3
"""Trains the demo model on rendered prompts (`assay prompt render --cases … --answers`) on the CPU.

    train.py --data short.jsonl long.jsonl --systems systems.json --held held.jsonl --out RUN --minutes 70

Resumes from RUN/last.npz if it is there (with --resume). A file RUN/STOP ends the run cleanly.
"""
import argparse
import itertools
import json
import os
import re
import time
from functools import partial

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true")
import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

import loglines
import net
import tokens

BUCKETS = (168, 272, 416, 544, 672)
PREFIXES = (480, 1408)
PROMPTS = {"triage@1": 0.35, "triage@2": 0.4}   # how often each system prompt is drawn; the others share the rest
WANTED = 96                      # positions with a loss: the answer, and some of the log
LOG_WEIGHT = 0.08
NAME_WEIGHT = 0.4                 # a component's name in the digest, where it stands for the second time: teaches to copy
NAMES = re.compile(r"^T\d+ \S+ x\d+ (\S+) \|", re.M)
SPANS = re.compile(r'\{"evidence":\[(.*?)\],"components":\[(.*?)\],"root_cause":"(.*?)","severity":"(.*?)","summary":"(.*?)"\}', re.S)
VALUE_WEIGHT = (1.0, 1.0, 2.0, 1.0, 0.2)   # evidence, components, root cause, severity, summary
STRUCTURE_WEIGHT = 0.1


def read(paths):
    for path in paths:
        with open(path, encoding="utf-8") as f:
            for line in f:
                row = json.loads(line)
                answer = row["answer"]
                if not isinstance(answer, str):
                    row["answer"] = json.dumps(answer | {"evidence": answer["evidence"][:3]}, ensure_ascii=False, separators=(",", ":"))
                if row["answer"].startswith('{"evidence":[]') and '"none"' not in row["answer"] and '"insufficient_evidence"' not in row["answer"]:
                    continue  # the budget left no line that shows the cause
                yield row


def encode(tok, row):
    """Suffix ids, where the answer starts, a weight and field number (0: none) for each answer token, and where names recur."""
    text = "user\n" + row["user"]
    u = tok.encode(text)
    head = [tokens.IM_START] + u.ids + [tokens.IM_END] + tok.encode("\n").ids + [tokens.IM_START] + tok.encode("assistant\n").ids
    spans, seen = [], set()
    for m in NAMES.finditer(text):
        if m.group(1) in seen:
            spans.append(m.span(1))
        seen.add(m.group(1))
    names = [i + 1 for i, (a, b) in enumerate(u.offsets) if any(x <= a and b <= y for x, y in spans)]
    e = tok.encode(row["answer"])
    m = SPANS.fullmatch(row["answer"])
    weight, field = [STRUCTURE_WEIGHT] * len(e.ids), [0] * len(e.ids)
    for i, (a, b) in enumerate(e.offsets):
        for g in range(1, 6):
            if m and m.start(g) <= a and b <= m.end(g) + 2 and a < m.end(g):
                weight[i], field[i] = VALUE_WEIGHT[g - 1], g if g < 5 else 0
    return np.array(head + e.ids + [tokens.IM_END], np.int32), len(head), np.array(weight + [STRUCTURE_WEIGHT], np.float32), np.array(field + [0], np.int8), np.array(names, np.int32)


def collect(tok, paths, limit=None):
    """Encoded rows by bucket; rows longer than the last bucket are left out."""
    out, dropped = {b: [] for b in BUCKETS}, 0
    for row in (row for path in paths for row in itertools.islice(read([path]), limit)):
        x = encode(tok, row)
        b = next((b for b in BUCKETS if len(x[0]) <= b), None)
        if b and len(x[2]) <= WANTED - 24:
            out[b].append(x)
        else:
            dropped += 1
    return out, dropped


def batch(rng, rows, size):
    """Suffixes (B, size), positions before the wanted tokens, their weights and fields (B, WANTED)."""
    n = len(rows)
    x = np.full((n, size), tokens.PAD, np.int32)
    where, weight, field = np.zeros((n, WANTED), np.int32), np.zeros((n, WANTED), np.float32), np.zeros((n, WANTED), np.int8)
    for i, (ids, start, w, f, names) in enumerate(rows):
        x[i, :len(ids)] = ids
        a = len(w)
        where[i, :a], weight[i, :a], field[i, :a] = np.arange(start - 1, start - 1 + a), w, f
        b = a + min(len(names), WANTED - a - 16)
        where[i, a:b], weight[i, a:b] = rng.permutation(names)[:b - a] - 1, NAME_WEIGHT
        k = min(WANTED - b, start - 2)
        where[i, b:b + k], weight[i, b:b + k] = rng.choice(start - 2, k, replace=False), LOG_WEIGHT
    return x, where, weight, field


def prefix_ids(tok, system):
    """The system message's ids, padded to one of few sizes (each is compiled), and their number."""
    ids = [tokens.BOS, tokens.IM_START] + tok.encode("system\n" + system).ids + [tokens.IM_END] + tok.encode("\n").ids
    size = next(s for s in PREFIXES if len(ids) <= s)
    return np.array(ids + [tokens.PAD] * (size - len(ids)), np.int32), np.int32(len(ids))


@partial(jax.jit, donate_argnums=(0, 1))
def step(p, s, prefix, x, offset, where, weight, lr):
    (l, _), g = jax.value_and_grad(net.loss, has_aux=True)(p, prefix, x, offset, where, weight)
    p, s = net.update(p, s, g, lr)
    return p, s, l


evaluate_batch = jax.jit(net.loss)


def evaluate(p, rows, prefix, offset, per=8):
    """Share of rows whose evidence, components, root cause and severity are all right, given the answer so far."""
    good, n = np.zeros(4), 0
    rng = np.random.default_rng(0)
    for size, some in rows.items():
        for a in range(0, len(some) - per + 1, per):
            x, where, weight, field = batch(rng, some[a:a + per], size)
            _, ok = evaluate_batch(p, prefix, x, offset, where, weight)
            ok = np.asarray(ok)
            for g in range(1, 5):
                good[g - 1] += ((ok | (field != g)).all(1)).sum()
            n += per
    return {k: round(float(v / max(1, n)), 3) for k, v in zip(("evidence", "components", "root_cause", "severity"), good)} | {"n": n}


def save(path, p, s, **extra):
    flat = {f"p/{k}": np.asarray(v) for k, v in p.items()} | {f"m/{k}": np.asarray(v) for k, v in s["m"].items()} | {f"v/{k}": np.asarray(v) for k, v in s["v"].items()}
    np.savez(path + ".tmp.npz", t=np.asarray(s["t"]), **flat, **{f"x/{k}": v for k, v in extra.items()})
    os.replace(path + ".tmp.npz", path)


def load(path):
    z = np.load(path)
    part = lambda c: {k[2:]: jnp.asarray(z[k]) for k in z.files if k.startswith(c + "/")}
    return part("p"), {"m": part("m"), "v": part("v"), "t": jnp.asarray(z["t"])}, {k[2:]: z[k].item() for k in z.files if k.startswith("x/")}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--data", nargs="+", required=True)
    a.add_argument("--held", nargs="*", default=[])
    a.add_argument("--systems", required=True, help="JSON: prompt name -> system message")
    a.add_argument("--out", required=True)
    a.add_argument("--minutes", type=float, required=True, help="when the run ends, in minutes of training since step 0")
    a.add_argument("--until", type=float, help="when this stage of it ends, in the same minutes")
    a.add_argument("--decay", type=float, default=40, help="the last so many minutes the learning rate falls to zero")
    a.add_argument("--mix", nargs=2, required=True, help="how often each bucket is drawn, at the stage's start and at its end: 168=2,416=3")
    a.add_argument("--prefixed", nargs=2, type=float, required=True, help="share of the batches that follow a system prompt, likewise")
    a.add_argument("--tokens", type=int, default=3072, help="tokens of a batch")
    a.add_argument("--seed", type=int, default=7)
    a.add_argument("--limit", type=int, help="at most so many rows of each file")
    a.add_argument("--resume", action="store_true")
    a.add_argument("--eval-every", type=float, default=1200, help="seconds")
    a = a.parse_args()
    os.makedirs(a.out, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", os.path.abspath(os.path.join(a.out, "compiled")))
    systems = json.load(open(a.systems, encoding="utf-8"))
    tok_path = os.path.join(a.out, "tokenizer.json")
    if os.path.exists(tok_path):
        tok = Tokenizer.from_file(tok_path)
    else:
        texts = [r["user"] + "\n" + r["answer"] for _, r in zip(range(6000), read(a.data[::-1]))]
        tok = tokens.train(texts + list(systems.values()) * 40, loglines.REAL, net.V)
        tok.save(tok_path)
    prefixes = {k: prefix_ids(tok, v) for k, v in systems.items()}
    rows, dropped = collect(tok, a.data, a.limit)
    held = {os.path.basename(h): collect(tok, [h], 96)[0] for h in a.held}
    last = os.path.join(a.out, "last.npz")
    mixes = [{int(k): float(v) for k, v in (x.split("=") for x in m.split(","))} for m in a.mix]
    usable = [b for b in BUCKETS if len(rows[b]) >= 4 and any(b in m for m in mixes)]
    shares = [np.array([m.get(b, 0) for b in usable]) / sum(m.get(b, 0) for b in usable) for m in mixes]
    names = list(prefixes)
    drawn = np.array([PROMPTS.get(k, (1 - sum(PROMPTS.values())) / max(1, len(names) - len(PROMPTS))) for k in names])
    p, done, spent = net.init(a.seed), 0, 0.0
    s = net.opt_init(p)
    if a.resume and os.path.exists(last):
        p, s, x = load(last)
        done, spent = int(x["steps"]), float(x["seconds"])
    log = open(os.path.join(a.out, "log.txt"), "a", encoding="utf-8")

    def say(text):
        print(text, flush=True)
        log.write(text + "\n")
        log.flush()

    say(f"params {sum(v.size for v in p.values())} rows {dict((b, len(r)) for b, r in rows.items())} dropped {dropped} prefixes {dict((k, int(v[1])) for k, v in prefixes.items())} from step {done}")
    rng = np.random.default_rng(a.seed + done)
    t0, mark, losses = time.time(), time.time(), []
    stage = 60 * (a.minutes if a.until is None else a.until) - spent
    while True:
        # A stage whose time was spent before is over: nothing is trained on at a rate below zero.
        left, at = 60 * a.minutes - spent - (time.time() - t0), (time.time() - t0) / stage if stage > 0 else 1
        if at >= 1 or os.path.exists(os.path.join(a.out, "STOP")):
            break
        prefix, offset = None, np.int32(rng.integers(1, 1500))
        size = int(rng.choice(usable, p=(1 - at) * shares[0] + at * shares[1]))
        if rng.random() < (1 - at) * a.prefixed[0] + at * a.prefixed[1]:
            prefix, offset = prefixes[str(rng.choice(names, p=drawn / drawn.sum()))]
        n = max(4, a.tokens // size)
        pick = rng.integers(0, len(rows[size]), n)
        x, where, weight, _ = batch(rng, [rows[size][i] for i in pick], size)
        lr = min(1.0, (done + 1) / 50) * min(1.0, left / (60 * a.decay))
        p, s, l = step(p, s, prefix, x, offset, where, weight, np.float32(lr))
        losses.append(float(l))
        done += 1
        if done % 25 == 0:
            say(f"step {done} {spent + time.time() - t0:.0f}s loss {np.mean(losses[-25:]):.4f} lr {lr:.3f} last {n}x{size}{'+' + str(len(prefix)) if prefix is not None else ''}")
        if done % 100 == 0:
            save(last, p, s, steps=done, seconds=spent + time.time() - t0)
        if time.time() - mark > a.eval_every:
            report(say, p, held, prefixes, done)
            save(last, p, s, steps=done, seconds=spent + time.time() - t0)
            mark = time.time()
    report(say, p, held, prefixes, done)
    save(last, p, s, steps=done, seconds=spent + time.time() - t0)
    say(f"end at step {done}")


def report(say, p, held, prefixes, done):
    first = prefixes["triage@1"]
    for name, rows in held.items():
        say(f"EVAL step {done} {name} {evaluate(p, rows, *first)}")


if __name__ == "__main__":
    main()
