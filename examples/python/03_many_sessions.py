"""One model, many users: a session each, in parallel threads, and a long call that can be stopped.

Introduces Context, sessions in threads, feed_many, snapshots, Cancel and errors.
"""

import threading

import numpy as np

import nested

with nested.Context(threads=2, memory_limit=200 << 20) as context:
    model = nested.Model({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2},
                         seed=0, context=context)

# Each thread has a session of its own; they share the weights.
texts = [f"user {i} likes the number {i * 7}. ".encode() * 20 for i in range(6)]
sessions = [model.session(learn="on", seed=i) for i in range(6)]
threads = [threading.Thread(target=session.read, args=(text,))
           for session, text in zip(sessions, texts)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print([session.position for session in sessions], "bytes read")

# The next byte for all of them at once.
logits = nested.feed_many(sessions, [text[0] for text in texts])
print("logits", logits.shape)

# Try something, and take it back.
snapshot = sessions[0].snapshot()
sessions[0].read(b"something that should not have been read")
sessions[0].restore(snapshot)
assert np.array_equal(sessions[0].output, logits[0])

# Stop a long call from another thread; the session stays usable.
stop = nested.Cancel()
threading.Timer(0.2, stop.raise_).start()
try:
    sessions[0].read(b"x" * 5_000_000, cancel=stop)
except nested.Cancelled:
    print(f"stopped after {sessions[0].position:,} bytes")

try:
    nested.Model({"kind": "hope", "vocab": 256, "memory": {"chunk": 4}})
except nested.ConfigError as error:
    print(f"{type(error).__name__} at {error.place}: {error.message}")
