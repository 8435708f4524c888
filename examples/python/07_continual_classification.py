"""07: labels arrive one after another; a session learns them, forgets, and is reminded.

New here: kind "cms" and task "classify", Session.teach, Session.predict, Session.n_outputs,
Classifier, whose labels are words.

    python 07_continual_classification.py
"""

import numpy as np
from numpy.typing import NDArray

import nested

GLYPHS = {  # five by seven dots
    "zero": ".###. #...# #...# #...# #...# #...# .###.",
    "one": "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
    "two": ".###. #...# ....# ...#. ..#.. .#... #####",
    "three": ".###. #...# ....# ..##. ....# #...# .###.",
    "four": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
}
NAMES = np.array(list(GLYPHS))
DOTS = np.array([[dot == "#" for dot in glyph.replace(" ", "")] for glyph in GLYPHS.values()])


def drawings(labels: list[int], n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Digits in a shaky hand: about one dot in sixteen is wrong, all are blurred."""
    random = np.random.default_rng(seed)
    which = random.choice(labels, n)
    dots = DOTS[which] ^ (random.random((n, 35)) < 1 / 16)
    return 2.0 * dots - 1 + random.normal(0, 0.3, (n, 35)), which


old, old_labels = drawings([0, 1, 2], 200, seed=1)
new, new_labels = drawings([3, 4], 200, seed=2)


def told(what: str, session: nested.Session) -> tuple[float, float]:
    """Prints which share of the drawings the session recognises."""
    shares = [float((session.predict(inputs=rows).argmax(1) == labels).mean())
              for rows, labels in ((old, old_labels), (new, new_labels))]
    print(f"{what:34} {session.n_outputs} labels {shares[0]:8.2f} {shares[1]:8.2f}")
    return shares[0], shares[1]


model = nested.Model({
    "kind": "cms", "task": "classify", "inputs": 35, "classes": 3, "d_model": 32,
    "cms": {"levels": [{"chunk": 8, "hidden": 32}, {"chunk": 64, "hidden": 32}]},
}, seed=1)
weights = model.parameters
session = model.session()

print(f"{'':43} {'0 1 2':>8} {'3 4':>8}")
told("before", session)

# Teaching learns each drawing once.  What it returns is how well each was known before that.
rows, labels = drawings([0, 1, 2], 300, seed=3)
first = session.teach(inputs=rows, labels=labels)
taught = told("taught 0, 1, 2", session)

# Two more labels arrive: the head grows by a row for each, and what it does not see it forgets.
rows, labels = drawings([3, 4], 300, seed=4)
session.teach(inputs=rows, labels=labels)
forgot = told("taught 3, 4, nothing of 0, 1, 2", session)

# Some of everything brings it back.
rows, labels = drawings([0, 1, 2, 3, 4], 100, seed=5)
session.teach(inputs=rows, labels=labels)
reminded = told("reminded by 20 of each", session)

for level in session.levels:
    name = "head" if level.layer == 1 else f"level {level.level}, chunk {level.chunk}"
    print(f"  {name:18} {level.updates:3} updates, moved by {level.delta_norm:.3f}")

# The same behind the interface of scikit-learn, with words as labels and a word that comes late.
rows, labels = drawings([0, 1, 2], 300, seed=3)
classifier = nested.Classifier(seed=1).partial_fit(rows, NAMES[labels])
rows, labels = drawings([0, 1, 2, 3, 4], 500, seed=6)
classifier.partial_fit(rows, NAMES[labels])
print(f"Classifier: {classifier.score(np.r_[old, new], NAMES[np.r_[old_labels, new_labels]]):.2f} of "
      f"{' '.join(classifier.classes_)}; drawn was a {classifier.predict(new[:1])[0]}")

assert first.accuracy > 0.7 and taught[0] > 0.9 and taught[1] == 0
assert session.n_outputs == 5 and forgot[1] > 0.9 and min(reminded) > 0.8 and reminded[0] > forgot[0]
assert (model.parameters == weights).all()
