#!/usr/bin/env python3
"""Writes reference.json: ROUGE F1 and stems as the Python packages compute them.

    pip install rouge-score==0.1.2 nltk==3.10.4 numpy==2.4.6 absl-py==2.5.1 six==1.17.0    (Python 3.11)
    python make.py

Pairs are generated from a seed: sentences about incidents, edited, shuffled, cut, repeated, over several lines, with
punctuation, digits, non-ASCII letters and empty texts. Every pair holds eight F1 values: ROUGE-1, -2, -L, -Lsum without
and then with the stemmer. Stems: real English words out of the packages' own documentation, and those words with
every suffix that the algorithm knows.
"""

import json
import random
import re
from pathlib import Path

import nltk
from nltk.stem import porter
from rouge_score import rouge_scorer

PAIRS = 1500
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
SENTENCES = """The disk of the volume is full and the write-ahead log cannot be written any more.
Prometheus keeps failing to send alerts because the connection to Alertmanager is refused.
A certificate expired, so every scrape of the target is rejected during verification.
etcd lost its quorum after two members stopped responding; elections are retried repeatedly.
The image cannot be pulled: the registry answers 429 Too Many Requests to the anonymous client.
Ingestion was limited; entries are dropped until the rate falls below the configured threshold.
Loki refuses samples that are older than the allowed window, and logs each rejection.
The process was killed by the kernel when its memory grew beyond the cgroup's limit.
No fault: the service started, reloaded its configuration and is operating normally.
Requests are queued since all connections of the pool are occupied by slow queries.
The model file is truncated, therefore loading it fails and the server exits immediately.
Port 9093 is already in use by another process; the listener could not be opened.
Permission was denied while creating the directory /var/lib/data, and startup was aborted.
Kustomization failed because the CustomResourceDefinition is missing in the cluster.
Résumé naïve Übergröße ΣΟΦΟΣ İstanbul ﬁle K2 ½ – “quoted” words’ edges_are odd-ish 10.0.0.3:9093
Replication is lagging; dying members are replaced, skies clear, news of outings and innings spread generally.
Geological and archaeological analogies happily relied on enjoyment, hopefully conditionally formalized.""".split("\n")
SUFFIXES = """s es ies sses ss ed ied eed ing at bl iz y ational tional enci anci izer bli abli alli entli eli ousli
ization ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al
ance ence er ic able ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize e ll lle""".split()


def words_of(text):
    return text.split(" ")


def edited(rng, words):
    words = list(words)
    for _ in range(rng.randrange(0, 12)):
        kind, at = rng.randrange(5), rng.randrange(len(words) + 1)
        if kind == 0 and words:
            words.pop(at % len(words))
        elif kind == 1:
            words.insert(at, rng.choice(words_of(rng.choice(SENTENCES))))
        elif kind == 2 and words:
            words[at % len(words)] += rng.choice(SUFFIXES)
        elif kind == 3 and words:
            other = rng.randrange(len(words))
            words[at % len(words)], words[other] = words[other], words[at % len(words)]
        elif words:
            words.insert(at, words[at % len(words)])
    return words


def joined(rng, words):
    return "".join(word + rng.choice([" "] * 12 + ["\n", ", ", ".\n", "\n\n", "\t", " "]) for word in words)


def pair(rng):
    base = [word for _ in range(rng.randrange(1, 4)) for word in words_of(rng.choice(SENTENCES))]
    kind = rng.randrange(10)
    if kind == 0:
        return joined(rng, base), joined(rng, words_of(rng.choice(SENTENCES)))
    if kind == 1:
        return rng.choice(["", "\n", "...", joined(rng, base)]), rng.choice(["", " ", joined(rng, base)])
    return joined(rng, base), joined(rng, edited(rng, base))


def main():
    rng = random.Random(20261124)
    scorers = [rouge_scorer.RougeScorer(TYPES, use_stemmer=stem) for stem in (False, True)]
    pairs = []
    for _ in range(PAIRS):
        target, prediction = pair(rng)
        values = [scorer.score(target, prediction)[kind].fmeasure for scorer in scorers for kind in TYPES]
        pairs.append([target, prediction, values])
    stemmer = porter.PorterStemmer()
    text = " ".join(SENTENCES + [porter.__doc__, porter.PorterStemmer.__doc__, rouge_scorer.__doc__]
                    + [str(getattr(porter.PorterStemmer, name).__doc__) for name in dir(porter.PorterStemmer)])
    words = sorted(set(re.findall(r"[a-z0-9]+", text.lower())))
    made = [word + suffix for word in words for suffix in SUFFIXES]
    vocabulary = sorted(set(words + rng.sample(made, 6000)))
    stems = {word: stemmer.stem(word) for word in vocabulary}
    header = {"made_by": "make.py", "rouge_score": "0.1.2", "nltk": nltk.__version__}
    path = Path(__file__).with_name("reference.json")
    path.write_text(json.dumps({**header, "pairs": pairs, "stems": stems}, ensure_ascii=False, separators=(",", ":")))
    print(len(pairs), "pairs", len(stems), "stems", path.stat().st_size, "bytes")


main()
