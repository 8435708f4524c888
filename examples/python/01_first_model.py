"""Train a small model on a text, save it, load it, and let it write.

Introduces Model, Trainer.fit, save and load, session and generate.
"""

import pathlib
import tempfile

import nested

text = b"the quick brown fox jumps over the lazy dog. " * 100

model = nested.Model({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2}, seed=0)
print(model)

trainer = nested.Trainer(model, lr=1e-2, schedule={"type": "constant"})
fit = trainer.fit(text, steps=40, batch=4, length=64)
print(f"loss {fit.last_loss:.2f} nats per byte after {fit.steps} steps")

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "fox.safetensors"
    model.save(path)
    again = nested.load(path)

session = again.session()
session.read(b"the quick ")
print(bytes(session.generate(35).astype("uint8")).decode("utf-8", "replace"))
