"""The block around a peer's mixer, in torch and float64."""

import torch
import torch.nn.functional as F

from comparison import EPS, Case

MIXER = "blocks.0.mixer."


def norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight


def case(config, weights, tokens, mixer):
    """The case that a peer's mixer gives: `mixer(p, n)` → [B, T, D] for n [B, T, D], where p holds the mixer's weights by
    their names in the library, without the prefix that all have. Gradients are of what torch saw it use."""
    leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in weights.items()}
    own = {name.removeprefix(MIXER).removesuffix(".weight"): leaf
           for name, leaf in leaves.items() if name.startswith(MIXER)}
    ids = torch.tensor(tokens, dtype=torch.long)
    x = leaves["embed.weight"][ids]
    y = x + mixer(own, norm(x, own["norm"])).to(x.dtype)
    logits = norm(y, leaves["norm.weight"]) @ leaves["head.weight"].mT
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return Case(config, weights, tokens, logits.detach().numpy(),
                {name: grad.numpy() for name, grad in zip(leaves, grads) if grad is not None})


def call(module, parameters, *arguments):
    """A module with other parameters, so that gradients reach what they were made of; float64."""
    module = module.double()
    missing = {name for name, _ in module.named_parameters()} - set(parameters)
    assert not missing, f"parameters of the peer that nothing was said about: {sorted(missing)}"
    return torch.func.functional_call(module, parameters, arguments, strict=False)

