#!/usr/bin/env python3
"""Writes a checkpoint as GGUF (Llama architecture), one file for each quantization asked for, and prints their sha256.

    export.py RUN/last.npz RUN/tokenizer.json OUT_PREFIX q8_0 q4_0
"""
import hashlib
import json
import sys

import gguf
import numpy as np

import net
import tokens

TYPES = {"f32": gguf.GGMLQuantizationType.F32, "f16": gguf.GGMLQuantizationType.F16, "q8_0": gguf.GGMLQuantizationType.Q8_0, "q5_1": gguf.GGMLQuantizationType.Q5_1,
         "q5_0": gguf.GGMLQuantizationType.Q5_0, "q4_1": gguf.GGMLQuantizationType.Q4_1, "q4_0": gguf.GGMLQuantizationType.Q4_0}
FILE_TYPES = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "q5_1": gguf.LlamaFileType.MOSTLY_Q5_1,
              "q5_0": gguf.LlamaFileType.MOSTLY_Q5_0, "q4_1": gguf.LlamaFileType.MOSTLY_Q4_1, "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0}
CONTEXT = 4096
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
LAYER = {"an": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "fn": "ffn_norm", "g": "ffn_gate", "u": "ffn_up", "d": "ffn_down"}


def head(w, kind):
    w.add_name("assay-demo")
    w.add_description("Demo model of Assay: trained from scratch on generated logs. Never evidence of the quality of log analysis.")
    w.add_license("Apache-2.0")
    w.add_size_label("2.4M")
    w.add_context_length(CONTEXT)
    w.add_embedding_length(net.D)
    w.add_block_count(net.L)
    w.add_feed_forward_length(net.FF)
    w.add_head_count(net.H)
    w.add_head_count_kv(net.H)
    w.add_layer_norm_rms_eps(net.EPS)
    w.add_rope_dimension_count(net.HD)
    w.add_rope_freq_base(net.BASE)
    w.add_vocab_size(net.V)
    w.add_file_type(FILE_TYPES[kind])
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)


def vocabulary(w, path):
    model = json.load(open(path, encoding="utf-8"))["model"]
    names = [t for t, _ in sorted(model["vocab"].items(), key=lambda x: x[1])]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(names)
    w.add_token_types([gguf.TokenType.CONTROL if t in tokens.SPECIAL else gguf.TokenType.NORMAL for t in names])
    w.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in model["merges"]])
    w.add_bos_token_id(tokens.BOS)
    w.add_pad_token_id(tokens.PAD)
    w.add_eos_token_id(tokens.IM_END)
    w.add_add_bos_token(True)
    w.add_chat_template(TEMPLATE)


def tensor(w, name, x, kind):
    x = np.ascontiguousarray(x, np.float32)
    # the embedding is the output matrix too: below 8 bits it costs more than it saves
    if x.ndim == 1 or kind == "f32":
        w.add_tensor(name, x)
        return
    kind = "q8_0" if name == "token_embd.weight" and kind.startswith(("q4", "q5")) else kind
    w.add_tensor(name, gguf.quants.quantize(x, TYPES[kind]), raw_dtype=TYPES[kind])


def write(npz, tokenizer, out, kind):
    z = np.load(npz)
    p = {k[2:]: z[k] for k in z.files if k.startswith("p/")}
    w = gguf.GGUFWriter(out, "llama")
    head(w, kind)
    vocabulary(w, tokenizer)
    tensor(w, "token_embd.weight", p["emb"], kind)
    tensor(w, "output_norm.weight", p["norm"], kind)
    for i in range(net.L):
        for key, name in LAYER.items():
            x = p[key][i]
            tensor(w, f"blk.{i}.{name}.weight", x.T if x.ndim == 2 else x, kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    data = open(out, "rb").read()
    print(hashlib.sha256(data).hexdigest(), len(data), out)


if __name__ == "__main__":
    for k in sys.argv[4:]:
        write(sys.argv[1], sys.argv[2], f"{sys.argv[3]}-{k}.gguf", k)
