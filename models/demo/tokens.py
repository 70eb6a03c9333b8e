"""The byte-level BPE of the demo model, made so that a word has the same tokens wherever it stands.

GPT-2's split puts a space into the word after it, and then `prometheus` after a space and `prometheus` after a quotation
mark share no token: a small model learns to copy names far better without that. So merges are learned without spaces;
afterwards spaces are merged into frequent long words only (and into signs), and digits in pairs. Any GPT-2 tokenizer reads the result.
"""
import collections
import json
import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from loglines import SYL

SPECIAL = ["<|bos|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
BOS, PAD, IM_START, IM_END = range(4)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def train(texts, names, vocab=3072, spaced=448):
    """A tokenizer with `vocab` tokens, `spaced` of them words with a leading space. `names` never get one."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learn = Tokenizer(models.BPE())
    learn.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "isolated"), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    pairs = [(a, b) for a in "0123456789" for b in "0123456789"]
    room = vocab - spaced - len(pairs)
    learn.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=room, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False))
    model = json.loads(learn.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    tokens = [t for t, _ in sorted(model["vocab"].items(), key=lambda x: x[1])]
    merges += pairs
    tokens += [a + b for a, b in pairs]
    have, count = set(tokens), collections.Counter()
    for text in texts:
        count.update(re.findall(r" ([A-Za-z]{2,}|[0-9]{2}|[^\sA-Za-z0-9]+)", text))
    banned = {part for n in names for part in re.split(r"[^A-Za-z]+", n)} | set(SYL)
    good = ["x"] + [w for w, _ in count.most_common() if w in have and w not in banned]
    for w in good[: vocab - len(tokens)]:
        merges.append(("Ġ", w))
        tokens.append("Ġ" + w)
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tok.add_special_tokens(SPECIAL)
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(GPT2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    return tok
