"""03: keep sessions in files, branch them, and make one new model out of what several have learnt.

New here: Model.save, load, Session.save (whole, and its delta alone), Model.restore, Session.fork,
Session.snapshot, Session.restore, consolidate, Model.loss, pickle.

    python 03_save_fork_consolidate.py
"""

import pathlib
import pickle
import tempfile

import nested

base = b"red green blue red green blue. " * 64
ann = b"ann likes apples and pears. " * 21
ben = b"ben likes trains & boats. " * 23

made = nested.Model({
    "kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32,
    "cms": {"levels": [{"chunk": 16, "hidden": 128, "lr": 0.05},
                       {"chunk": 128, "hidden": 128, "lr": 0.02}, {"chunk": 0, "hidden": 128}]},
}, seed=1)
with nested.Trainer(made, schedule={"type": "cosine", "warmup": 20, "total": 90}) as trainer:
    trainer.fit(base, steps=90, batch=8, length=64)

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    # Files are safetensors; a crash while saving leaves the old file or the new one.
    made.save(folder / "model.safetensors")
    model = nested.load(folder / "model.safetensors")

    # Saved and loaded, a session goes on as if nothing had happened.
    a, b = model.session("on"), model.session("on")
    a.read(ann[:300])
    a.save(folder / "ann.session")
    a = model.restore(folder / "ann.session")

    # What its levels learnt, alone: small, and for whoever has the same model.
    a.save(folder / "ann.delta", delta=True)
    fresh = made.restore(folder / "ann.delta")
    print(f"the session is {(folder / 'ann.session').stat().st_size:,} bytes, "
          f"its delta {(folder / 'ann.delta').stat().st_size:,}")
    assert fresh.position == 0 and fresh.level(0, 0).delta_norm == a.level(0, 0).delta_norm

# A pickle carries the session and its model, for another process or for a cache.
travelled = pickle.loads(pickle.dumps(a))

# A fork is a stream of its own; a snapshot is a place to come back to.
branch, snapshot = a.fork(), a.snapshot()
same = [session.feed(ann[300:])[-1].tobytes() for session in (a, branch, travelled)]
print("the session, its fork and its pickle read the same and predict the same bits:",
      "yes" if same[0] == same[1] == same[2] else "no")
branch.restore(snapshot)
assert branch.position == 300 and len(set(same)) == 1

b.read(ben)

# Both sessions' levels, merged into a new model; the old model stays as it is.
merged = nested.consolidate(model, [a, b], weights=[1, 1])
print(f"loss, nats per byte  {'model':>10} {'consolidated':>12}")
for what, text in (("what ann wrote", ann), ("what ben wrote", ben), ("what the model knew", base)):
    print(f"{what:20} {model.loss(text[:300]):10.3f} {merged.loss(text[:300]):12.3f}")
assert merged.loss(ann[:300]) < model.loss(ann[:300]) and merged.loss(ben[:300]) < model.loss(ben[:300])
