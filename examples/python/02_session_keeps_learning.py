"""02: a session that reads something new gets better at it, while the model stays as it is.

New here: the three modes of Model.session, Session.read and what it returns, Session.levels,
Session.score, Session.reset_levels.

    python 02_session_keeps_learning.py
"""

import nested

old = b"one two three four five six seven eight nine ten. " * 80
new = (b"eins zwei drei vier sechs acht neun zehn elf! " * 23)[:1024]

model = nested.Model({
    "kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32,
    "cms": {"levels": [{"chunk": 16, "hidden": 128, "lr": 0.05},
                       {"chunk": 128, "hidden": 128, "lr": 0.02}, {"chunk": 0, "hidden": 128}]},
}, seed=1)
with nested.Trainer(model, schedule={"type": "cosine", "warmup": 20, "total": 120}) as trainer:
    trainer.fit(old, steps=120, batch=8, length=64)
weights = model.parameters

# The same new text into three sessions: what is the surprise (nats per byte) of each quarter?
print(f"{'learn':8} {'1st':>8} {'2nd':>8} {'3rd':>8} {'4th quarter':>8}")
sessions = {"memory": model.session("memory"), "off": model.session("off"), "on": model.session("on")}
last = {}
for learn, session in sessions.items():
    losses = [session.read(new[start:start + 256]).loss for start in range(0, 1024, 256)]
    last[learn] = losses[-1]
    print(f"{learn:8}", *(f"{loss:8.3f}" for loss in losses))

session = sessions["on"]
print(f"\nafter {session.position} bytes, {session.updates} updates, "
      f"{session.state_bytes} bytes of state of its own:")
for level in session.levels[:3]:
    print(f"  block {level.layer}, level {level.level}, chunk {level.chunk:3}: {level.updates:2} "
          f"updates, moved by {level.delta_norm:.4f} of {level.weight_norm:.2f}")

# Score does not teach.  Reset forgets what the levels learnt.
learnt = session.score(new[:256]).sum()
session.reset_levels()
forgotten = session.score(new[:256]).sum()
print(f"log-probability of 256 bytes: {learnt:.1f} with what the levels learnt, "
      f"{forgotten:.1f} without")

assert last["on"] < last["memory"] and learnt > forgotten
assert (model.parameters == weights).all()
