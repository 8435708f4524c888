"""06: gradients out and in: two workers train together, by hand.

New here: Trainer.accumulate, Trainer.flat_gradient, Trainer.set_flat_gradient, Trainer.apply,
Trainer.gradients, Trainer.set_allreduce, Model.parameters.

    python 06_gradients.py
"""

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nested

CONFIG = {"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2}
text = np.frombuffer(b"the quick brown fox jumps over the lazy dog. " * 100, np.uint8)
random = np.random.default_rng(0)


def new_trainer() -> nested.Trainer:
    """Equal weights and options on every worker: the seed decides them."""
    return nested.Trainer(nested.Model(CONFIG, seed=3), lr=1e-2, schedule={"type": "constant"})


def batch() -> NDArray[np.uint8]:
    """[8, 33] bytes: windows of the text."""
    return np.stack([text[start:start + 33] for start in random.integers(0, text.size - 33, 8)])


whole, first, second = new_trainer(), new_trainer(), new_trainer()
for _ in range(5):
    rows = batch()
    step = whole.step(rows)  # one worker has the whole batch, the two have halves
    for worker, half in ((first, rows[:4]), (second, rows[4:])):
        worker.accumulate(half)

    # Out: sums over targets, so that workers with more targets weigh more.
    gradients, targets = zip(*(worker.flat_gradient() for worker in (first, second)))
    total = gradients[0] + gradients[1]

    # In: the same sum on both, in the same order, so the same bits.
    for worker in (first, second):
        worker.set_flat_gradient(total, sum(targets))
        applied = worker.apply()
    print(f"step {applied.step}: {applied.targets:.0f} targets, gradient norm "
          f"{applied.gradient_norm:.6f}, in one piece {step.gradient_norm:.6f}")

a, b, one = (trainer.model.parameters for trainer in (first, second, whole))
print("workers agree in every bit:", np.array_equal(a, b))
print(f"largest difference from one trainer on the whole batch: {np.abs(a - one).max():.1e}")
assert np.array_equal(a, b)
np.testing.assert_allclose(a, one, atol=2e-3)

# By name: which parts of the model would learn most from this batch?
first.accumulate(batch())
norms = {name: float(np.linalg.norm(g)) for name, g in first.gradients().items()}
first.zero()
for name in sorted(norms, key=norms.__getitem__, reverse=True)[:3]:
    print(f"  {name}: {norms[name]:.4f}")

# The same by a hook, which `step` and `fit` call: here the workers are threads, elsewhere the sum
# is MPI's Allreduce or torch.distributed's all_reduce.
meeting = threading.Barrier(2, timeout=30)
slots: list[NDArray[Any]] = [np.empty(0), np.empty(0)]


def train(index: int, worker: nested.Trainer, rows: NDArray[np.uint8]) -> None:
    def allreduce(array: NDArray[Any]) -> None:
        slots[index] = array.copy()
        meeting.wait()
        array[:] = slots[0] + slots[1]
        meeting.wait()
    worker.set_allreduce(allreduce)
    worker.step(rows[index * 4:][:4])


rows = batch()
whole.step(rows)
threads = [threading.Thread(target=train, args=(i, worker, rows))
           for i, worker in enumerate((first, second))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
a, b, one = (trainer.model.parameters for trainer in (first, second, whole))
print("and through the hook:", np.array_equal(a, b))
assert np.array_equal(a, b)
np.testing.assert_allclose(a, one, atol=2e-3)
