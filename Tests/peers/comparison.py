"""What is compared: one-block models, whose weights, tokens, logits and gradients another implementation knows.

A model is embedding, one block, norm, head. The mixer of the block is under test; its feed-forward is switched off
(`down` = 0), so that

    logits = RMSNorm(x + Mixer(RMSNorm(x))) headᵀ          x = embed[tokens]

A `Case` is made by a peer (test_retnet.py, test_titans.py) or read from a file that holds what the peer said (fixtures/).
"""

import dataclasses
import json
import os
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures"
os.environ.setdefault("NESTED_LIBRARY", str(ROOT / "build" / "lib" / "libnested.so.1"))  # before the package is imported
sys.path.insert(0, str(ROOT / "bindings" / "python"))

import nested  # noqa: E402

VALUES, GRADIENTS = 1e-5, 1e-4  # what the library promises in float32, relative
VOCABULARY = 17
EPS = 1e-12  # of every RMSNorm: peers scale what they normalise, and only an eps would notice


@dataclasses.dataclass
class Case:
    config: dict
    weights: dict  # name: float32, by the library's names; all others keep what `model` gives them
    tokens: np.ndarray  # [B, T]
    logits: np.ndarray  # [B, T, V], the peer's
    gradients: dict  # name: of the mean loss of the next tokens, the peer's

    def model(self):
        model = nested.Model(self.config, seed=1)
        model.tensors["blocks.0.ffn.down.weight"] = np.zeros_like(model.tensors["blocks.0.ffn.down.weight"])
        for name, value in self.weights.items():
            model.tensors[name] = value
        return model


def config(kind, d_model, n_heads, **others):
    return {"kind": kind, "vocab": VOCABULARY, "d_model": d_model, "n_heads": n_heads, "head_dim": d_model // n_heads,
            "n_layers": 1, "norm_eps": EPS, "tie_embeddings": False, **others}


def tokens(rows, length):
    return np.random.default_rng(5).integers(0, VOCABULARY, (rows, length)).astype(np.int32)


def weights(of, **special):
    """Numbers for every tensor of a model, large enough that no branch is small beside another. `special` are
    factors on the last part but "weight" of a name."""
    random = np.random.default_rng(3)
    model, result = nested.Model(of), {}
    for name in model.tensors:
        if ".ffn." in name:
            continue
        value = model.tensors[name]
        new = random.standard_normal(value.shape) / np.sqrt(value.shape[-1])
        part = name.removesuffix(".weight").rsplit(".", 1)[-1]
        if part.endswith("norm"):
            new = 1 + 0.2 * random.standard_normal(value.shape)
        elif part.endswith("_conv"):
            new = np.zeros(value.shape) + [0, 0, 0, 1]  # no convolution: peers have none here
        elif part in ("embed", "head"):
            new = random.standard_normal(value.shape)
        result[name] = (new * special.get(part, 1)).astype(np.float32)
    return result


def error(ours, theirs):
    """‖a - b‖ / ‖b‖, in float64; every number must be one."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape and np.isfinite(ours).all() and np.isfinite(theirs).all()
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


def check(case):
    """The library agrees with a case: whole rows, streams cut into pieces, gradients."""
    model = case.model()
    assert error(model.forward(case.tokens), case.logits) < VALUES
    for row, expected in zip(case.tokens, case.logits):
        session = model.session()
        pieces = [session.feed(row[:1]), session.feed(row[1:6]), session.feed(row[6:7]), session.feed(row[7:])]
        assert error(np.concatenate(pieces), expected) < VALUES
    with nested.Trainer(model, optimizer="sgd", clip=0) as trainer:
        trainer.accumulate(case.tokens)
        ours = trainer.gradients()
    assert case.gradients
    for name, theirs in case.gradients.items():
        assert error(ours[name], theirs) < GRADIENTS, name


def save(case, path):
    from safetensors.numpy import save_file
    tensors = {"tokens": case.tokens, "logits": case.logits.astype(np.float32)}
    tensors |= {f"weights/{name}": value for name, value in case.weights.items()}
    tensors |= {f"gradients/{name}": value.astype(np.float32) for name, value in case.gradients.items()}
    save_file({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}, path,
              {"config": json.dumps(case.config)})


def load(path):
    from safetensors import safe_open
    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        read = json.loads(file.metadata()["config"])

    def part(prefix):
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return Case(read, part("weights/"), tensors["tokens"], tensors["logits"], part("gradients/"))
