"""What PyTorch's optimizers do to 37 numbers over 25 steps, and to four matrices over ten: fixtures/optimizers.json.

The library's weight decay is decoupled for every optimizer (SPEC 4), so the coupled `weight_decay` of the others stays 0
here and the decay is applied as AdamW does, w *= 1 - lr * decay, before the step. The learning rate changes from step to
step. Gradients have very different sizes, and some are exactly zero; all cases see the same ones. Weights are kept after
the steps in KEEP (from 1), the state after the last one.
"""

import contextlib

import numpy as np
import torch

STEPS, SIZE, KEEP = 25, 37, (1, 2, 10, 25)

CASES = [
    ("adamw", dict(beta1=0.9, beta2=0.95, eps=1e-8), 3e-3, 0.1, None),
    ("adamw", dict(beta1=0.9, beta2=0.999, eps=1e-8), 1e-2, 0.0, None),
    ("adamw", dict(beta1=0.8, beta2=0.99, eps=1e-4), 1e-2, 0.5, 1.0),
    ("sgd", dict(), 0.1, 0.0, None),
    ("sgd", dict(), 0.1, 0.2, 0.5),
    ("momentum", dict(momentum=0.9), 0.05, 0.0, None),
    ("momentum", dict(momentum=0.5), 0.05, 0.1, 1.0),
    ("nesterov", dict(momentum=0.9), 0.05, 0.0, None),
    ("nesterov", dict(momentum=0.5), 0.05, 0.1, 1.0),
    ("adagrad", dict(eps=1e-10), 0.05, 0.0, None),
    ("adagrad", dict(eps=1e-4), 0.05, 0.1, 1.0),
    ("adam", dict(beta1=0.9, beta2=0.999, eps=1e-8), 1e-2, 0.0, None),
    ("adam", dict(beta1=0.8, beta2=0.99, eps=1e-4), 1e-2, 0.5, 1.0),
]

# heads, rows, columns; momentum, decay
MATRICES = [((1, 7, 3), 0.95, 0.0), ((1, 3, 7), 0.95, 0.1), ((1, 6, 6), 0.5, 0.0), ((2, 2, 5), 0.9, 0.1)]
MUON_STEPS = 10

# torch's class, the library's settings as its arguments, and its state in the order of the library's slots
TORCH = {
    "sgd": (torch.optim.SGD, lambda s: {}, []),
    "momentum": (torch.optim.SGD, lambda s: dict(momentum=s["momentum"]), ["momentum_buffer"]),
    "nesterov": (torch.optim.SGD, lambda s: dict(momentum=s["momentum"], nesterov=True), ["momentum_buffer"]),
    "adagrad": (torch.optim.Adagrad, lambda s: dict(eps=s["eps"]), ["sum"]),
    "adam": (torch.optim.Adam, lambda s: dict(betas=(s["beta1"], s["beta2"]), eps=s["eps"]), ["exp_avg", "exp_avg_sq"]),
    "adamw": (torch.optim.AdamW, lambda s: dict(betas=(s["beta1"], s["beta2"]), eps=s["eps"]), ["exp_avg", "exp_avg_sq"]),
}


@contextlib.contextmanager
def full_precision():
    """torch.optim.Muon rounds to bfloat16 before its Newton-Schulz iteration. Here it must not, to be comparable."""
    rounding = torch.Tensor.bfloat16
    torch.Tensor.bfloat16 = torch.Tensor.double
    try:
        yield
    finally:
        torch.Tensor.bfloat16 = rounding


def numbers():
    generator = torch.Generator().manual_seed(7)
    initial = torch.randn(SIZE, generator=generator)
    sizes = 10.0 ** torch.linspace(-6, 2, SIZE)
    gradients = [torch.randn(SIZE, generator=generator) * sizes for _ in range(STEPS)]
    for t, g in enumerate(gradients):
        g[t % SIZE] = 0.0
        g[3] = 0.0
    return initial, gradients


def short(x):
    """Lists of the fewest digits that tell a float32 from the next."""
    return [float(np.format_float_scientific(value, unique=True)) for value in x.detach().float().flatten().numpy()]


def run(name, settings, lr, decay, clip):
    initial, gradients = numbers()
    p = torch.nn.Parameter(initial.clone())
    kind, arguments, slots = TORCH[name]
    own = dict(weight_decay=decay) if name == "adamw" else {}
    optimizer = kind([p], lr, foreach=False, **arguments(settings), **own)
    rates, norms, after = [], [], []
    for t, g in enumerate(gradients):
        rate = lr * (1 - 0.03 * t)
        for group in optimizer.param_groups:
            group["lr"] = rate
        p.grad = g.clone()
        norms.append(float(torch.nn.utils.clip_grad_norm_([p], clip if clip else float("inf"))))
        if name != "adamw" and decay:
            with torch.no_grad():
                p.mul_(1 - rate * decay)
        optimizer.step()
        rates.append(rate)
        if t + 1 in KEEP:
            after.append(short(p))
    return dict(
        name=name, settings=settings, decay=decay, clip=clip or 0.0, rates=rates, norms=norms,
        weights=after, state=[short(optimizer.state[p][s]) for s in slots])


def muon(shape, momentum, lr, decay):
    """torch.optim.Muon on each head by itself, which is what it takes; float64."""
    generator = torch.Generator().manual_seed(11)
    initial = torch.randn(shape, generator=generator)
    gradients = [torch.randn(shape, generator=generator) for _ in range(MUON_STEPS)]
    heads = [torch.nn.Parameter(w.double()) for w in initial]
    optimizer = torch.optim.Muon(heads, lr, weight_decay=decay, momentum=momentum)
    with full_precision():
        for g in gradients:
            for head, part in zip(heads, g):
                head.grad = part.double()
            optimizer.step()
    return dict(
        heads=shape[0], rows=shape[1], columns=shape[2], momentum=momentum, lr=lr, decay=decay,
        initial=short(initial), gradients=[short(g) for g in gradients],
        weights=[x for head in heads for x in head.flatten().tolist()],
        buffer=[x for head in heads for x in optimizer.state[head]["momentum_buffer"].flatten().tolist()])


def fixture():
    initial, gradients = numbers()
    return dict(
        made_with="torch " + torch.__version__, keep=KEEP, initial=short(initial),
        gradients=[short(g) for g in gradients], cases=[run(*case) for case in CASES],
        muon=[muon(shape, momentum, 0.02, decay) for shape, momentum, decay in MATRICES])
