#!/usr/bin/env python3
"""Asks a real llama-server with the exported model about rendered cases, as Assay does, and scores the answers.

    verify.py --server LLAMA_SERVER --model FILE.gguf --tokenizer RUN/tokenizer.json --cases heldout.jsonl --limit 200

Checks first that the server splits every prompt into the same tokens as the tokenizer that the model was trained with.
"""
import argparse
import collections
import json
import os
import socket
import subprocess
import time
import tomllib
import urllib.request

from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))


def schema(ontology):
    labels = [x["name"] for x in ontology["label"]]
    return {"type": "object", "properties": {
        "evidence": {"type": "array", "maxItems": 5, "items": {"type": "string", "pattern": "^T[1-9][0-9]{0,2}$"}},
        "components": {"type": "array", "maxItems": 4, "items": {"type": "string", "maxLength": 64}},
        "root_cause": {"enum": labels}, "severity": {"enum": ["critical", "error", "warning", "info"]}, "summary": {"type": "string", "maxLength": 400}},
        "required": ["evidence", "components", "root_cause", "severity", "summary"], "additionalProperties": False}


def call(url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as r:
        return json.load(r)


def start(server, model):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    p = subprocess.Popen([server, "-m", model, "--host", "127.0.0.1", "--port", str(port), "-t", "1", "-np", "1", "-c", "4096", "--offline", "--no-ui"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            call(url, "/health")
            return p, url
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"llama-server with {model} did not get ready in 60 s")


def score(answers):
    """Shares over all rows; an answer that is not a verdict counts as wrong."""
    good, by, says = collections.Counter(), collections.defaultdict(collections.Counter), collections.Counter()
    for want, got, text in answers:
        good["json"] += got is not None
        if got is None:
            continue
        r = got["root_cause"] == want["root_cause"]
        good["root_cause"] += r
        by[want["root_cause"]][r] += 1
        says[got["root_cause"]] += 1
        good["severity"] += got["severity"] == want["severity"]
        good["components"] += sorted(got["components"]) == sorted(want["components"])
        good["evidence"] += bool(set(got["evidence"]) & set(want["evidence"])) if want["evidence"] else got["evidence"] == []
        good["grounded"] += all(f"\n{e} " in "\n" + text for e in got["evidence"])
        good["all"] += r and got["severity"] == want["severity"] and sorted(got["components"]) == sorted(want["components"])
    n = len(answers)
    return {k: round(v / n, 3) for k, v in good.items()}, by, says


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--server", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--cases", required=True, help="output of assay prompt render --answers")
    p.add_argument("--limit", type=int, default=200)
    p.add_argument("--show", type=int, default=0)
    a = p.parse_args()
    rows = [json.loads(x) for x in open(a.cases, encoding="utf-8")][: a.limit]
    ontology = tomllib.load(open(os.path.join(HERE, "../../prompts/ontology/1.toml"), "rb"))
    tok, answers, differ, spent, took = Tokenizer.from_file(a.tokenizer), [], 0, 0, time.time()
    server, url = start(a.server, a.model)
    try:
        for row in rows:
            messages = [{"role": "system", "content": row["system"]}, {"role": "user", "content": row["user"]}]
            text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages) + "<|im_start|>assistant\n"
            differ += call(url, "/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"] != tok.encode(text).ids
            body = {"messages": messages, "temperature": 0, "top_k": 0, "top_p": 1, "min_p": 0, "seed": 1, "max_tokens": 200, "cache_prompt": True,
                    "response_format": {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema(ontology)}}}
            reply = call(url, "/v1/chat/completions", body)
            said = reply["choices"][0]["message"]["content"]
            spent += reply["usage"]["completion_tokens"]
            try:
                got = json.loads(said)
            except ValueError:
                got = None
            answers.append((row["answer"], got, row["user"]))
            if len(answers) <= a.show:
                print(row["user"], "\nWANT", json.dumps(row["answer"]), "\nGOT ", said, "\n")
    finally:
        server.terminate()
    shares, by, says = score(answers)
    print(f"{os.path.basename(a.model)} on {os.path.basename(a.cases)}: {len(rows)} cases, token mismatches {differ}, {shares}, {spent / len(rows):.0f} tokens an answer, {(time.time() - took) / len(rows):.2f} s a case")
    print("  right by label:", {k: f"{v[True]}/{sum(v.values())}" for k, v in sorted(by.items())})
    print("  answers:", dict(says.most_common(8)))


if __name__ == "__main__":
    main()
