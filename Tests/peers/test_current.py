"""The committed fixtures are what the peers say now."""

import json

import comparison
import make_fixtures
import numpy as np
import optimizers
import pytest

CASES = dict(make_fixtures.makers())


def near(old, new, bound):
    # Differences, not relative ones: a gradient may be small beside what it was summed of.
    old, new = np.asarray(old, np.float64), np.asarray(new, np.float64)
    return old.shape == new.shape and np.abs(old - new).max() <= bound * max(1, np.abs(old).max())


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_current(name):
    old, new = comparison.load(comparison.FIXTURES / f"{name}.safetensors"), CASES[name]()
    assert old.config == new.config and np.array_equal(old.tokens, new.tokens)
    assert near(old.logits, new.logits, 1e-6)
    assert old.weights.keys() == new.weights.keys() and old.gradients.keys() == new.gradients.keys()
    for tensor, value in new.weights.items():
        assert np.array_equal(old.weights[tensor], value)
    for tensor, value in new.gradients.items():
        assert near(old.gradients[tensor], value, 1e-5), tensor


def test_the_optimizers_are_current():
    old = json.loads((comparison.FIXTURES / "optimizers.json").read_text())
    new = json.loads(json.dumps(optimizers.fixture()))
    for key in ("keep", "initial", "gradients"):
        assert old[key] == new[key]
    for one, other in zip(old["cases"] + old["muon"], new["cases"] + new["muon"], strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert near(value, other[key], 1e-6) if isinstance(value, list) and value else value == other[key]
