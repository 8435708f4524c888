"""A session goes on learning from what it reads; the model it was opened on stays as it is.

Introduces the learn modes, levels, score, Session.save, Model.restore and consolidate.
"""

import pathlib
import tempfile

import numpy as np

import nested

old, new = b"one two three four five six seven. " * 100, b"eins zwei drei vier sieben acht. " * 60

model = nested.Model({
    "kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2,
    "cms": {"levels": [{"chunk": 16, "hidden": 64, "lr": 0.05},
                       {"chunk": 64, "hidden": 64, "lr": 0.05}, {"chunk": 0, "hidden": 64}]},
}, seed=0)
nested.Trainer(model, lr=1e-2, schedule={"type": "constant"}).fit(old, 40, 4, 64)

frozen, learning = model.session("memory"), model.session("on")
for start in range(0, len(new), 480):
    piece = new[start:start + 480]
    print(f"at {start:5}: frozen {frozen.read(piece).loss:5.2f}   "
          f"learning {learning.read(piece).loss:5.2f} nats per byte")

for level in learning.levels:
    if level.chunk:  # 0 never learns online
        print(f"layer {level.layer}, level {level.level}: every {level.chunk} bytes, "
              f"{level.updates} updates, moved by {level.delta_norm:.3f}")

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "session.safetensors"
    learning.save(path)
    twin = model.restore(path)  # goes on exactly where the other is
assert np.array_equal(twin.score(new[:100]), learning.score(new[:100]))

wiser = nested.consolidate(model, [learning])
print(f"a fresh reader of the new text: {model.loss(new[:400]):.2f} nats per byte before, "
      f"{wiser.loss(new[:400]):.2f} after consolidation")
