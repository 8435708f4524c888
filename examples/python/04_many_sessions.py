"""04: one model, many users: a session each, in parallel threads.

New here: Context, sessions in threads, feed_many, Context.memory.

    python 04_many_sessions.py
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import nested

USERS = 6
texts = [f"user {i} likes the number {i * 7} and the letter {chr(97 + i)}. ".encode() * 25 for i in range(USERS)]

with nested.Context(threads=2, memory_limit=200 << 20) as context:
    model = nested.Model({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2},
                         seed=0, context=context)

    def serve(user: int) -> nested.Session:
        """What a user's thread does: a stream of its own on weights that all share."""
        session = model.session(learn="on", seed=user)
        session.read(texts[user])
        session.generate(20, temperature=0.8)
        return session

    started = time.perf_counter()
    alone = [serve(user) for user in range(USERS)]
    between = time.perf_counter()
    with ThreadPoolExecutor(USERS) as pool:  # the interpreter lock is free during each call
        together = list(pool.map(serve, range(USERS)))
    print(f"{USERS} users one after another {between - started:.2f} s, "
          f"in threads {time.perf_counter() - between:.2f} s")

    # Streams do not touch each other: in threads they came out as alone, in every bit.
    for one, other in zip(alone, together):
        assert one.position == other.position and one.levels == other.levels
        assert np.array_equal(one.output, other.output)
    print("the same bits:", [session.position for session in together], "bytes read and written")

    # The next byte for all of them at once, as a server does it.
    logits = nested.feed_many(together, [text[0] for text in texts])
    for session, text, row in zip(alone, texts, logits):
        assert np.array_equal(session.feed(text[:1])[0], row)
    print("as a batch: logits", logits.shape)

    own = sum(session.state_bytes for session in together)
    print(f"{model.size * 4:,} bytes of weights, shared; {own // USERS:,} bytes for each user; "
          f"{context.memory.in_use:,} of {context.memory.limit:,} in use")
