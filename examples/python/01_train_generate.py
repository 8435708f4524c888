"""01: train a small byte-level model on a text and let it write.

New here: Model, Trainer.fit with progress, Model.session, Session.read, Session.generate.

    python 01_train_generate.py [text file]
"""

import pathlib
import sys

import nested

STORY = (b"the river reads the rain and the rain reads the river. what the river reads it keeps "
         b"for a while, and what it keeps it tells the sea. ")
text = pathlib.Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else STORY * 40

# The model reads token ids; here a token is a byte.
model = nested.Model({
    "kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32,
    "cms": {"levels": [{"chunk": 64, "hidden": 128}, {"chunk": 0, "hidden": 128}]},
}, seed=1)
print(model)
before = model.loss(text[:256])


def show(progress: nested.Progress) -> None:
    print(f"\r{progress.stage} {progress.done}/{progress.total}, loss {progress.loss:.3f}   ",
          end="", file=sys.stderr)


# 60 steps over random windows: 8 rows of 64 bytes each.
trainer = nested.Trainer(model, lr=3e-3, schedule={"type": "cosine", "warmup": 10, "total": 60})
fit = trainer.fit(text, steps=60, batch=8, length=64, progress=show)
print(file=sys.stderr)
print(f"{fit.steps} steps, loss of the last one {fit.last_loss:.3f} nats per byte, at first {before:.3f}")

# A session is one stream: give it a beginning, then sample.
session = model.session(seed=1)
session.read(text[:32])
written = bytes(session.generate(80, temperature=0.7, top_k=20).astype("uint8"))
print((text[:32] + b" | " + written).decode("utf-8", "replace"))

assert fit.last_loss < before / 2 and len(written) == 80
