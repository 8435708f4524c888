"""DeltaNet and Gated DeltaNet as flash-linear-attention computes them, in float64.

Its operators need a GPU. Their plain forms (fla.ops.delta_rule.naive, fla.ops.gated_delta_rule.naive) are a few
equations, written here anew, in their order of operations, with the layers around them:

    v'_t = β_t (v_t - (α_t S_{t-1})ᵀ k_t),  S_t = α_t S_{t-1} + k_t v'_tᵀ,  o_t = S_tᵀ q_t / √d        α = 1 or e^g
    q, k = l2(silu(conv(n W))), v = silu(conv(n W_V)), β = σ(n W_β), g = -e^A_log softplus(n W_a + dt_bias)
"""

import comparison
import numpy as np
import pytest

D_MODEL, HEADS, LENGTH = 12, 3, 40


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def norm(x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + comparison.EPS) * weight


def l2norm(x):
    return x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-6)


def convolution(x, weight):
    """Causal and depthwise: x [T, D], weight [D, 4], whose last tap is the current token's."""
    padded = np.concatenate([np.zeros((3, x.shape[1])), x])
    return sum(weight[:, tap] * padded[tap:tap + len(x)] for tap in range(4))


def delta_rule(q, k, v, beta, alpha):
    """[T, H, d] and [T, H] → [T, H, d]."""
    state = np.zeros((q.shape[1], q.shape[2], v.shape[2]))
    out = []
    for t in range(len(q)):
        state = alpha[t][:, None, None] * state
        new = beta[t][:, None] * (v[t] - (state * k[t][:, :, None]).sum(1))
        state = state + k[t][:, :, None] * new[:, None, :]
        out.append((state * (q[t] / np.sqrt(q.shape[2]))[:, :, None]).sum(1))
    return np.stack(out)


def mixer(p, n, gated):
    def heads(x):
        return x.reshape(len(x), HEADS, -1)
    q, k, v = (heads(silu(convolution(n @ p[f"{x}.weight"].T, p[f"{x}_conv.weight"]))) for x in "qkv")
    beta = sigmoid(n @ p["beta.weight"].T)
    alpha = np.ones_like(beta)
    if gated:
        alpha = np.exp(-np.exp(p["a_log"]) * np.logaddexp(0, n @ p["a.weight"].T + p["dt_bias"]))
    o = delta_rule(l2norm(q), l2norm(k), v, beta, alpha)
    o = norm(o, p["head_norm.weight"].reshape((HEADS, -1) if gated else -1)).reshape(n.shape)
    if gated:
        o = o * silu(n @ p["gate.weight"].T)
    return o @ p["out.weight"].T


def part(weights, prefix):
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def logits(weights, tokens, gated):
    x = weights["embed.weight"][tokens]
    for i in range(2):
        p, f = part(weights, f"blocks.{i}.mixer."), part(weights, f"blocks.{i}.ffn.")
        x = x + mixer(p, norm(x, p["norm.weight"]), gated)
        n = norm(x, f["norm.weight"])
        x = x + (silu(n @ f["gate.weight"].T) * (n @ f["up.weight"].T)) @ f["down.weight"].T
    return norm(x, weights["norm.weight"]) @ weights["head.weight"].T


@pytest.mark.parametrize("kind", ["deltanet", "gated-deltanet"])
def test_the_delta_rule_agrees(kind):
    gated = kind == "gated-deltanet"
    model = comparison.nested.Model(
        {**comparison.config(kind, D_MODEL, HEADS, d_ff=32), "n_layers": 2}, seed=4)
    random = np.random.default_rng(6)
    weights = {}
    for name in model.tensors:
        value = model.tensors[name]
        if name.endswith("norm.weight"):
            value = 1 + 0.2 * random.standard_normal(value.shape)
        elif name.endswith(("embed.weight", "head.weight", "_conv.weight")):
            value = random.standard_normal(value.shape) / 2
        elif name.endswith(("a_log", "dt_bias")):
            value = random.uniform(-2, 1, value.shape)  # decays from nearly none to strong
        else:
            value = random.standard_normal(value.shape) / np.sqrt(value.shape[-1])
        model.tensors[name] = value
        weights[name] = model.tensors[name].astype(np.float64)
    tokens = comparison.tokens(2, LENGTH)
    expected = np.stack([logits(weights, row, gated) for row in tokens])
    assert comparison.error(model.forward(tokens), expected) < comparison.VALUES
    session = model.session()
    pieces = [session.feed(tokens[0, :7]), session.feed(tokens[0, 7:8]), session.feed(tokens[0, 8:])]
    assert comparison.error(np.concatenate(pieces), expected[0]) < comparison.VALUES
