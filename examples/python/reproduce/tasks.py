"""Generators of the synthetic tasks.  All give rows of tokens and of targets; only answers are targets.

- Multi-query associative recall: Arora et al. 2023 (Zoology, arXiv 2312.04927).
- Needles in a haystack: Hsieh et al. 2024 (RULER, arXiv 2404.06654), with shorter sentences.
- Formal languages: Bhattamishra et al. 2020 (arXiv 2009.11264), the strings and the rule of scoring.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

import nested

Rows = tuple[np.ndarray, np.ndarray]


def padded(lines: list[tuple[list[int], list[int]]], fill: int) -> Rows:
    """Rows of one length: the rest is filled, and has no targets."""
    length = max(len(tokens) for tokens, _ in lines)
    tokens = np.full((len(lines), length), fill, np.int32)
    targets = np.full((len(lines), length), nested.IGNORE, np.int32)
    for i, (x, y) in enumerate(lines):
        tokens[i, :len(x)], targets[i, :len(y)] = x, y
    return tokens, targets


def mqar(random: np.random.Generator, count: int, length: int, pairs: int, vocab: int = 256) -> Rows:
    """Pairs of distinct keys (lower half of the vocabulary) and values (upper half); then each key
    once more, at a gap by the power law 0.01, and its value is asked for.  The rest is random."""
    half = vocab // 2
    tokens = random.integers(0, vocab, (count, length), np.int32)
    targets = np.full((count, length), nested.IGNORE, np.int32)
    room = (length - 2 * pairs) // 2
    gaps = 0.01 * np.arange(1, room + 1) ** -0.99
    for x, y in zip(tokens, targets):
        keys = 1 + random.choice(half - 1, pairs, replace=False)
        values = half + random.choice(half, pairs, replace=False)
        x[:2 * pairs:2], x[1:2 * pairs:2] = keys, values
        at = 2 * pairs + 2 * random.choice(room, pairs, replace=False, p=gaps / gaps.sum())
        x[at], y[at] = keys, values
    return tokens, targets


# Needles.  A row is a haystack with sentences "The special number for KEY is VALUE." hidden in it,
# and then the same words again, of which the values are to be predicted.

NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
PARTS = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
# haystack, hexadecimal digits of a value (0: four decimal ones), keys, values of a key, keys asked
NEEDLES = {"S1": ("noise", 0, 1, 1, 1), "S2": ("text", 0, 1, 1, 1), "S3": ("text", 16, 1, 1, 1),
           "MK": ("text", 0, 4, 1, 1), "MQ": ("text", 0, 4, 1, 4), "MV": ("text", 0, 1, 4, 1)}


def needle(random: np.random.Generator, variant: str, length: int, text: str) -> tuple[list[int], list[int]]:
    """One row with a haystack of `length` bytes.  Several values are asked for in their order."""
    haystack, digits, keys, values, asked = NEEDLES[variant]
    names = ["".join(PARTS[i] for i in random.integers(len(PARTS), size=3)) for _ in range(keys)]
    known = {name: ["".join("0123456789abcdef"[i] for i in random.integers(16, size=digits))
                    if digits else str(random.integers(1000, 10000)) for _ in range(values)]
             for name in names}
    hidden = [f"The special number for {name} is {value}. " for name in names for value in known[name]]
    room = max(0, length - sum(map(len, hidden)))
    start = 0 if haystack == "noise" else int(random.integers(len(text) - room))
    hay = (NOISE * (room // len(NOISE) + 1))[:room] if haystack == "noise" else text[start:start + room]
    starts = [m.end() for m in re.finditer(r"[.\n] ?", hay)] or [0]
    places = sorted(random.choice(starts, len(hidden)))
    for place, sentence in reversed(list(zip(places, hidden))):
        hay = hay[:place] + sentence + hay[place:]
    tokens, targets = list(hay.encode()), [nested.IGNORE] * len(hay.encode())
    for name in random.choice(names, asked, replace=False):
        for i, value in enumerate(known[name]):
            words = f" The special number for {name} is " if i == 0 else ", "
            for piece, is_answer in ((words, False), (value, True)):
                for byte in piece.encode():
                    targets[-1] = byte if is_answer else targets[-1]
                    tokens.append(byte)
                    targets.append(nested.IGNORE)
    return tokens, targets


def needles(random: np.random.Generator, count: int, variants: list[str], length: int, text: str) -> Rows:
    return padded([needle(random, variants[i % len(variants)], length, text)
                   for i in range(count)], ord(" "))


# Formal languages.  After every prefix the set of symbols that may follow, and of the end, is to be
# told: one class of 2^(symbols + 1).  A string counts if every set is right.

def _parity(random: np.random.Generator, length: int) -> tuple[list[int], list[int]]:
    x = random.integers(0, 2, max(1, length))
    if x.sum() % 2:
        x[random.integers(len(x))] ^= 1
    return x.tolist(), [3 | (0 if odd else 4) for odd in np.cumsum(x) % 2]


def _aa(random: np.random.Generator, length: int) -> tuple[list[int], list[int]]:
    n = max(2, length - length % 2)
    return [0] * n, [1, 3] * (n // 2)


def _abab(random: np.random.Generator, length: int) -> tuple[list[int], list[int]]:
    n = max(1, length // 4)
    return [0, 1, 0, 1] * n, [2, 1, 2, 1 | 4] * n


def _counted(symbols: int) -> Callable[[np.random.Generator, int], tuple[list[int], list[int]]]:
    """a^n b^n, a^n b^n c^n: how many a will come is open, the rest is fixed."""
    def make(random: np.random.Generator, length: int) -> tuple[list[int], list[int]]:
        n = max(1, length // symbols)
        x = [s for s in range(symbols) for _ in range(n)]
        return x, [3] * n + [1 << following for following in [*x[n + 1:], symbols]]
    return make


def _shuffle_2(random: np.random.Generator, length: int) -> tuple[list[int], list[int]]:
    """Two kinds of brackets, each balanced by itself."""
    n, depth = max(2, length - length % 2), [0, 0]
    x, y = [], []
    for i in range(n):
        may_open = sum(depth) < n - i
        if sum(depth) == 0 or (may_open and random.random() < 0.5):
            kind = int(random.integers(2))
            x.append(2 * kind)
            depth[kind] += 1
        else:
            kind = int(random.choice([k for k in (0, 1) if depth[k]]))
            x.append(2 * kind + 1)
            depth[kind] -= 1
        y.append(1 | 4 | (2 if depth[0] else 0) | (8 if depth[1] else 0) | (0 if any(depth) else 16))
    return x, y


LANGUAGES = {"parity": _parity, "(aa)*": _aa, "(abab)*": _abab, "a^n b^n": _counted(2),
             "a^n b^n c^n": _counted(3), "shuffle-2": _shuffle_2}
CLASSES = 32  # sets of four symbols and the end; also the vocabulary


def formal(random: np.random.Generator, count: int, language: str, shortest: int, longest: int) -> Rows:
    return padded([LANGUAGES[language](random, int(random.integers(shortest, longest + 1)))
                   for _ in range(count)], CLASSES - 1)
