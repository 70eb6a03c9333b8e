"""The network: a small Llama (RMS norm, interleaved RoPE, SwiGLU, tied embeddings), its loss and its optimizer, in JAX.

All suffixes (log digest and answer) of a batch follow one system prompt: its keys and values are computed once.
"""
import math

import jax
import jax.numpy as jnp
import numpy as np

V, D, L, H, FF = 3072, 192, 4, 4, 512
HD = D // H
EPS, BASE = 1e-5, 10000.0
MATRICES = ("q", "k", "v", "o", "g", "u", "d")


def init(seed=0):
    g = np.random.default_rng(seed)
    def n(*s, fan):
        return jnp.asarray(g.standard_normal(s) / math.sqrt(fan), jnp.float32)
    p = {"emb": n(V, D, fan=400), "norm": jnp.ones(D), "an": jnp.ones((L, D)), "fn": jnp.ones((L, D))}
    for k in "qkv":
        p[k] = n(L, D, D, fan=D)
    p |= {"o": n(L, D, D, fan=16 * D), "g": n(L, D, FF, fan=D), "u": n(L, D, FF, fan=D), "d": n(L, FF, D, fan=16 * FF)}
    return p


def rms(x, w):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + EPS) * w


def angles(pos):
    inv = 1.0 / (BASE ** (jnp.arange(0, HD, 2, dtype=jnp.float32) / HD))
    a = pos.astype(jnp.float32)[:, None] * inv
    return jnp.cos(a)[:, None, :], jnp.sin(a)[:, None, :]


def rope(x, cs):
    a, b = x[..., 0::2], x[..., 1::2]
    c, s = cs
    return jnp.stack([a * c - b * s, a * s + b * c], -1).reshape(x.shape)


def attend(q, k, v, past=None):
    """Causal attention of (B, T, H, HD), over the keys and values of the prefix (P, H, HD) and its mask (P) as well."""
    t = q.shape[1]
    s = jnp.einsum("bqhd,bkhd->bhqk", q, k)
    s = jnp.where(np.tril(np.ones((t, t), bool)), s, -1e9)
    if past is None:
        return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(s, -1), v)
    pk, pv, real = past
    n = pk.shape[0]
    w = jax.nn.softmax(jnp.concatenate([jnp.einsum("bqhd,khd->bhqk", q, pk) + real, s], -1), -1)
    return jnp.einsum("bhqk,khd->bqhd", w[..., :n], pv) + jnp.einsum("bhqk,bkhd->bqhd", w[..., n:], v)


def block(p, i, h, cs, shape, past=None):
    """Layer `i` over `h` (B * T, D); returns it and its own keys and values."""
    y = rms(h, p["an"][i])
    q = rope((y @ p["q"][i]).reshape(shape), cs) * (HD ** -0.5)
    k, v = rope((y @ p["k"][i]).reshape(shape), cs), (y @ p["v"][i]).reshape(shape)
    h = h + attend(q, k, v, past).reshape(h.shape) @ p["o"][i]
    y = rms(h, p["fn"][i])
    return h + (jax.nn.silu(y @ p["g"][i]) * (y @ p["u"][i])) @ p["d"][i], k[0], v[0]


def hidden(p, prefix, suffix, offset):
    """Last hidden states of `suffix` (B, T), which starts at position `offset`: the length of `prefix`, if there is one.

    `prefix` (P) may be padded at its end; what stands at or after `offset` is not attended to. Nothing is learned through
    its keys and values: the same few prefixes recur, and their backward pass would cost more than that of the suffixes.
    """
    past = [None] * L
    if prefix is not None:
        n = prefix.shape[0]
        h, cs, past = p["emb"][prefix], angles(jnp.arange(n)), []
        real = jnp.where(jnp.arange(n) < offset, 0.0, -1e9)
        for i in range(L):
            h, k, v = block(p, i, h, cs, (1, n, H, HD))
            past.append((jax.lax.stop_gradient(k), jax.lax.stop_gradient(v), real))
    b, t = suffix.shape
    h, cs = p["emb"][suffix.reshape(-1)], angles(jnp.arange(t) + offset)
    for i in range(L):
        h, _, _ = block(p, i, h, cs, (b, t, H, HD), past[i])
    return rms(h, p["norm"]).reshape(b, t, D)


def loss(p, prefix, suffix, offset, where, weight):
    """Weighted cross entropy of the tokens after the positions `where` (B, A)."""
    h = hidden(p, prefix, suffix, offset)
    rows = jnp.arange(suffix.shape[0])[:, None]
    want = suffix[rows, where + 1]
    logit = (h[rows, where].reshape(-1, D) @ p["emb"].T).reshape(*where.shape, V)
    nll = jax.nn.logsumexp(logit, -1) - jnp.take_along_axis(logit, want[..., None], -1)[..., 0]
    return (nll * weight).sum() / weight.sum(), (logit.argmax(-1) == want)


def orthogonal(g, steps=5):
    """Newton-Schulz iteration of Muon (Jordan et al. 2024) over a stack of matrices."""
    turn = g.shape[-2] > g.shape[-1]
    x = jnp.swapaxes(g, -1, -2) if turn else g
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(steps):
        a = x @ jnp.swapaxes(x, -1, -2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return jnp.swapaxes(x, -1, -2) if turn else x


def opt_init(p):
    return {"m": {k: jnp.zeros_like(v) for k, v in p.items()}, "v": {k: jnp.zeros_like(v) for k, v in p.items() if k not in MATRICES}, "t": jnp.zeros(())}


def update(p, s, g, lr):
    """Muon for the matrices, Adam for embeddings and norms; `lr` goes from 1 to 0."""
    norm = jnp.sqrt(sum((x * x).sum() for x in g.values()))
    g = {k: x * jnp.minimum(1.0, 1.0 / (norm + 1e-6)) for k, x in g.items()}
    t, p2, m2, v2 = s["t"] + 1, {}, {}, {}
    for k, x in g.items():
        if k in MATRICES:
            m2[k] = 0.95 * s["m"][k] + x
            o = orthogonal(x + 0.95 * m2[k]) * math.sqrt(max(1.0, x.shape[-1] / x.shape[-2]))
            p2[k] = p[k] * (1 - 0.0005 * lr) - 0.02 * lr * o
        else:
            m2[k] = 0.9 * s["m"][k] + 0.1 * x
            v2[k] = 0.98 * s["v"][k] + 0.02 * x * x
            step = (m2[k] / (1 - 0.9 ** t)) / (jnp.sqrt(v2[k] / (1 - 0.98 ** t)) + 1e-8)
            p2[k] = p[k] - 0.004 * lr * step
    return p2, {"m": m2, "v": v2, "t": t}
