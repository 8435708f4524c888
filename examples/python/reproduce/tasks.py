"""Generators of the synthetic tasks.  All give rows of tokens and of targets; only answers are targets.

- Multi-query associative recall: Arora et al. 2023 (Zoology, arXiv 2312.04927).
- Needles in a haystack: Hsieh et al. 2024 (RULER, arXiv 2404.06654), in words as tokens.
- Formal languages: Bhattamishra et al. 2020 (arXiv 2009.11264), the strings and the rule of scoring.
"""

from __future__ import annotations

import re
from collections import Counter
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


def mqar(random: np.random.Generator, count: int, length: int, pairs: int, vocab: int) -> Rows:
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


# Needles.  A row is a haystack with sentences "the special number for KEY is VALUE ." hidden in it,
# and then the same words again, of which the values are to be predicted.  A token is a word: the most
# frequent ones of the text, one for all others, and keys and values that stand in needles only.

KEYS = VALUES = 64
WORDS = 384
NEEDLE_VOCAB = WORDS + KEYS + VALUES
NOISE = "the grass is green . the sky is blue . the sun is yellow . here we go . there and back again ."
SENTENCE = "the special number for"
# haystack, tokens of a value, keys, values of a key, keys asked
NEEDLES = {"S1": ("noise", 1, 1, 1, 1), "S2": ("text", 1, 1, 1, 1), "S3": ("text", 4, 1, 1, 1),
           "MK": ("text", 1, 4, 1, 1), "MQ": ("text", 1, 4, 1, 4), "MV": ("text", 1, 1, 4, 1)}


class Words:
    """Words of a text as numbers: 0 is any word that is not frequent in the text it was made from."""

    def __init__(self, text: str) -> None:
        fixed = dict.fromkeys(f"{NOISE} {SENTENCE} is , .".split())
        frequent = Counter(split(text)).most_common(WORDS)
        known = list(dict.fromkeys([*fixed, *(word for word, _ in frequent)]))[:WORDS - 1]
        self.number = {word: i + 1 for i, word in enumerate(known)}

    def __call__(self, text: str) -> list[int]:
        return [self.number.get(word, 0) for word in split(text)]


def split(text: str) -> list[str]:
    return re.findall(r"[a-z']+|[.,;:!?]", text.lower())


def needle(
    random: np.random.Generator, variant: str, length: int, words: Words, text: list[int],
) -> tuple[list[int], list[int]]:
    """One row with a haystack of `length` words.  Several values are asked for in their order."""
    haystack, size, keys, values, asked = NEEDLES[variant]
    names = WORDS + random.choice(KEYS, keys, replace=False)
    known = {int(name): WORDS + KEYS + random.choice(VALUES, (values, size), replace=False)
             for name in names}
    intro, copula, stop, comma = words(SENTENCE), words("is"), words("."), words(",")
    hidden = [[*intro, name, *copula, *value.tolist(), *stop]
              for name, several in known.items() for value in several]
    room = max(1, length - sum(map(len, hidden)))
    noise = words(NOISE) * (room // len(words(NOISE)) + 1)
    start = int(random.integers(len(text) - room))
    hay = noise[:room] if haystack == "noise" else text[start:start + room]
    places = sorted(random.integers(0, len(hay) + 1, len(hidden)).tolist())
    for place, sentence in reversed(list(zip(places, hidden))):
        hay = [*hay[:place], *sentence, *hay[place:]]
    tokens, targets = list(hay), [nested.IGNORE] * len(hay)
    for name in random.choice(names, asked, replace=False).tolist():
        for i, value in enumerate(known[name].tolist()):
            before = [*intro, name, *copula] if i == 0 else comma
            tokens += [*before, *value]
            targets += [nested.IGNORE] * (len(before) - 1) + value + [nested.IGNORE]
    return tokens, targets


def needles(
    random: np.random.Generator, count: int, variants: list[str], length: int, words: Words,
    text: list[int],
) -> Rows:
    return padded([needle(random, variants[i % len(variants)], length, words, text)
                   for i in range(count)], 0)


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
