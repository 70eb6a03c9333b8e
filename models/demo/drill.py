"""Copying drills: tiny digests of random words whose answer names the component of one line.

A small model learns late to copy a name that it has never seen; these short batches, in which nothing else can be learned,
bring that forward. The words are drawn from the whole vocabulary, so that no name can be known by heart.
"""
import numpy as np

import tokens

SIZE = 96
HEAD, TAIL = '{"evidence":["T', '"],"components":["'
MIDDLE, END = '"],"summary":"', ' keeps'


class Drill:
    """Makes batches like train.batch does."""

    def __init__(self, tok):
        one = lambda text: tok.encode(text).ids
        self.one = {k: one(k) for k in ("\n", "T", " ", ":", " x", " |", HEAD, TAIL, MIDDLE, END)}
        self.number = [one(str(i)) for i in range(100)]
        self.two = [one(f"{i:02d}") for i in range(60)]
        self.start = [tokens.IM_END] + one("\n") + [tokens.IM_START] + one("assistant\n")
        vocab = tok.get_vocab()
        self.words = np.array([i for t, i in vocab.items() if len(t) > 1 and t.isascii() and t.isalpha()], np.int32)

    def line(self, rng, number, name):
        o = self.one
        t = [self.two[int(i)] for i in rng.integers(0, 60, 3)]
        filler = [int(x) for x in rng.choice(self.words, int(rng.integers(2, 6)))]
        return o["\n"] + o["T"] + self.number[number] + o[" "] + t[0] + o[":"] + t[1] + o[":"] + t[2] + o[" x"] + self.number[int(rng.integers(1, 30))] + o[" "] + name + o[" |"] + o[" "] + filler

    def sequence(self, rng):
        """Ids, and the indices of those that a copy predicts."""
        first, n = int(rng.integers(1, 20)), int(rng.integers(2, 4))
        names = [[int(x) for x in rng.choice(self.words, int(rng.choice([1, 2, 3, 3])))] for _ in range(n)]
        if rng.random() < 0.3:
            names[-1] = names[0]
        ids, want = [], []
        for i, name in enumerate(names):
            ids += self.line(rng, first + i, name)
        pick = int(rng.integers(0, n))
        ids += self.start + self.one[HEAD] + self.number[first + pick] + self.one[TAIL]
        for close in (self.one[MIDDLE], self.one[END]):
            a = len(ids)
            ids += names[pick] + close[:1]
            want += list(range(a, a + len(names[pick]) + 1))
            ids += close[1:]
        return ids, want

    def batch(self, rng, n, wanted):
        x = np.full((n, SIZE), tokens.PAD, np.int32)
        where, weight = np.zeros((n, wanted), np.int32), np.zeros((n, wanted), np.float32)
        for i in range(n):
            ids, want = self.sequence(rng)
            while len(ids) > SIZE:
                ids, want = self.sequence(rng)
            x[i, :len(ids)] = ids
            where[i, :len(want)], weight[i, :len(want)] = np.array(want) - 1, 1.0
        return x, where, weight
