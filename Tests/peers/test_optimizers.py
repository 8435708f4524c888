"""Ten steps of a trainer and of torch.optim on the same gradients, every tensor of a model."""

import comparison
import numpy as np
import optimizers
import pytest
import torch
from comparison import nested

STEPS, RATE, DECAY, MOMENTUM, BETAS, EPS = 10, 0.02, 0.1, 0.9, (0.9, 0.95), 1e-8
CONFIG = comparison.config("transformer", 16, 2, d_ff=24)

TORCH = {
    "sgd": lambda p: torch.optim.SGD(p, RATE),
    "momentum": lambda p: torch.optim.SGD(p, RATE, momentum=MOMENTUM),
    "nesterov": lambda p: torch.optim.SGD(p, RATE, momentum=MOMENTUM, nesterov=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, RATE, eps=EPS),
    "adam": lambda p: torch.optim.Adam(p, RATE, BETAS, EPS),
    "adamw": lambda p: torch.optim.AdamW(p, RATE, BETAS, EPS, weight_decay=0),
}


def decays(name, shape):
    """SPEC 4: weights with two dimensions or more, embed excepted; decoupled, so it is no optimizer's business."""
    return len(shape) > 1 and name != "embed.weight"


class Torch:
    """Weights and optimizers in float64. `make` is asked for those of the names `of`."""

    def __init__(self, model, makers):
        self.weights = {name: torch.nn.Parameter(torch.tensor(model.tensors[name], dtype=torch.float64))
                        for name in model.tensors}
        self.optimizers = [make([p for name, p in self.weights.items() if of(name)]) for make, of in makers]

    def step(self, gradients, clip):
        for name, p in self.weights.items():
            p.grad = torch.tensor(gradients[name], dtype=torch.float64)
        if clip:
            torch.nn.utils.clip_grad_norm_(self.weights.values(), clip)
        with torch.no_grad():
            for name, p in self.weights.items():
                if decays(name, p.shape):
                    p.mul_(1 - RATE * DECAY)
        for optimizer in self.optimizers:
            optimizer.step()


def gradients(model, step):
    """Of sizes from 1e-5 to 10 within a tensor, some exactly zero."""
    random = np.random.default_rng(step)
    result = {}
    for name in model.tensors:
        shape = model.tensors.info(name).shape
        g = random.standard_normal(shape) * 10.0 ** random.integers(-5, 2, shape)
        result[name] = np.where(random.random(shape) < 0.05, 0, g).astype(np.float32)
    return result


def both(name, peer, clip=0.0, gradient=gradients):
    """Names, and the weights of either side after each step."""
    model = nested.Model(CONFIG, seed=2)
    torch_side = Torch(model, peer)
    options = dict(optimizer=name, lr=RATE, weight_decay=DECAY, momentum=MOMENTUM, betas=BETAS, eps=EPS, clip=clip)
    with nested.Trainer(model, schedule={"type": "constant"}, **options) as trainer:
        for step in range(STEPS):
            now = gradient(model, step)
            trainer.set_flat_gradient(np.concatenate([now[n].ravel() for n in model.tensors]), 1.0)
            assert trainer.apply().applied
            torch_side.step(now, clip)
            for n in model.tensors:
                yield step, n, model.tensors[n], torch_side.weights[n].detach().numpy()


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("name", TORCH)
def test_ten_steps_are_those_of_torch(name, clip):
    count = 0
    for step, tensor, ours, theirs in both(name, [(TORCH[name], lambda _: True)], clip):
        assert comparison.error(ours, theirs) < 1e-6, (step, tensor)
        count += 1
    assert count >= STEPS * 12


def hidden(name):
    """Muon's own: matrices between hidden layers."""
    return name.startswith("blocks.") and "norm" not in name


def plain(model, step):
    """What Newton-Schulz turns into a rotation has to be far from singular for float32 to say much about it."""
    random = np.random.default_rng(step)
    return {name: random.standard_normal(model.tensors.info(name).shape).astype(np.float32) for name in model.tensors}


def muon(parameters):
    return torch.optim.Muon(parameters, RATE, weight_decay=0, momentum=MOMENTUM)


MUON = [(muon, hidden), (TORCH["adamw"], lambda name: not hidden(name))]


def test_muon_is_torch_s_in_full_precision():
    with optimizers.full_precision():
        for step, tensor, ours, theirs in both("muon", MUON, gradient=plain):
            assert comparison.error(ours, theirs) < 1e-6, (step, tensor)


def test_muon_as_torch_ships_it_rounds_to_bfloat16():
    """The same step within what 8 bits leave of it, and further from ours than full precision is."""
    worst = 0.0
    for step, tensor, ours, theirs in both("muon", MUON, gradient=plain):
        if hidden(tensor):
            worst = max(worst, comparison.error(ours, theirs))
    assert 1e-5 < worst < 0.02
