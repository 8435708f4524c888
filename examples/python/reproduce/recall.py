"""Recall and formal languages: where fixed memories, attention and self-modification differ.

    make reproduce-recall DATA=folder       (python recall.py --data folder [--tasks mqar])

Tasks (tasks.py): multi-query associative recall, needles in a haystack, six formal languages.  The
models are those of lm.py at equal parameters; every one gets the same two learning rates with
seed 0, and further seeds at the one with the smallest loss on unseen rows.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

import nested
from models import KINDS, config, size
from report import spread, table, write
from runs import Job, Result, Runs, arguments, cosine, new_model, run_all, search
from tasks import CLASSES, LANGUAGES, NEEDLE_VOCAB, NEEDLES, Words, formal, mqar, needles
from texts import named, parts

RATES = [3e-3, 6e-3]
STEPS = {"mqar": 2400, "needles": 1500, "formal": 400}
WIDTHS = {"mqar": 64, "needles": 64, "formal": 32}
LAYERS = 2
MQAR_VOCAB, MQAR_TOKENS = 64, 512  # tokens of a batch: many small steps learn recall soonest
MQAR_TRAINED = [(16, 4), (32, 8)]  # tokens, pairs: a batch of each in turn
MQAR_POINTS = ["16/4", "32/8", "64/8", "64/16"]
VOCABS = {"mqar": MQAR_VOCAB, "needles": NEEDLE_VOCAB, "formal": CLASSES}
LENGTH = 64  # words of a haystack
LENGTHS = [64, 128, 256]


def right(model: nested.Model, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether the answer at a position is the right one; 1 where nothing is asked."""
    found = np.concatenate([model.forward(tokens[i:i + 32]).argmax(-1)
                            for i in range(0, len(tokens), 32)])
    return (found == targets) | (targets < 0)


def train_and_score(model: nested.Model, job: Job, text: bytes = b"", unseen: bytes = b"") -> Result:
    """`text` and `unseen` are haystacks, to train and to test with."""
    task, steps = job["task"], job["steps"]
    trainer = nested.Trainer(model, lr=job["lr"], schedule=cosine(steps))
    random = np.random.default_rng(job["seed"])
    train = batches(task, random, text)
    skipped = 0
    for step in range(steps):
        tokens, targets = train(step)
        skipped += not trainer.step(tokens, targets=targets).applied
    test = batches(task, np.random.default_rng(2**32 + job["seed"]), text)
    rows = [test(step) for step in range(6)]
    choice = float(np.mean([model.loss(x, targets=y) for x, y in rows]))
    return {"choice": choice, "skipped": skipped, "parameters": model.size,
            **scores(model, task, np.random.default_rng(1000), text, unseen, job["tests"])}


@functools.lru_cache(maxsize=2)
def vocabulary(text: bytes) -> tuple[Words, list[int]]:
    """Of the needles, and the text in it."""
    words = Words(text.decode("ascii", "replace"))
    return words, words(text.decode("ascii", "replace"))


def batches(task: str, random: np.random.Generator, text: bytes) -> Any:
    """Step → a batch to train on."""
    if task == "mqar":
        def next_batch(step: int) -> Any:
            length, pairs = MQAR_TRAINED[step % len(MQAR_TRAINED)]
            return mqar(random, MQAR_TOKENS // length, length, pairs, MQAR_VOCAB)
    elif task == "needles":
        words, hay = vocabulary(text)

        def next_batch(step: int) -> Any:
            return needles(random, 12, list(NEEDLES), LENGTH, words, hay)
    else:
        def next_batch(step: int) -> Any:
            return formal(random, 32, task, 2, 50)
    return next_batch


def scores(
    model: nested.Model, task: str, random: np.random.Generator, text: bytes, unseen: bytes,
    tests: int,
) -> Result:
    """Shares of right answers on about `tests` of them, and a fraction of that for whole rows."""
    if task == "mqar":
        result = {}
        for point in MQAR_POINTS:
            length, pairs = map(int, point.split("/"))
            tokens, targets = mqar(random, max(4, tests // pairs), length, pairs, MQAR_VOCAB)
            result[point] = float(right(model, tokens, targets)[targets >= 0].mean())
        return result
    if task == "needles":
        words, count = vocabulary(text)[0], max(4, tests // 20)
        hay = words(unseen.decode("ascii", "replace"))
        return {f"{variant} {length}":
                answers(model, *needles(random, count, [variant], length, words, hay))
                for length in LENGTHS for variant in NEEDLES}
    count = max(4, tests // 4)
    return {f"{low} to {high}": float(right(model, *formal(random, count, task, low, high)).all(1).mean())
            for low, high in ((2, 50), (51, 100))}


def answers(model: nested.Model, tokens: np.ndarray, targets: np.ndarray) -> float:
    """Share of values of which every byte is right, each read after the right ones before it."""
    asked = targets >= 0
    first = asked & ~np.pad(asked, ((0, 0), (1, 0)))[:, :-1]
    number = np.cumsum(first, 1)
    wrong = ~right(model, tokens, targets)
    whole = [not wrong[i][(number[i] == n) & asked[i]].any()
             for i in range(len(tokens)) for n in range(1, number[i].max() + 1)]
    return float(np.mean(whole))


def work(job: Job, text: bytes) -> Result:
    known, _, unseen = parts(text)
    return train_and_score(new_model(job["config"], job["seed"]), job, known, unseen)


def make(task: str, name: str, rate: float, seed: int, options: Any) -> Job:
    group = "formal" if task in LANGUAGES else task
    return {"task": task, "model": name, "lr": rate, "seed": seed, **named(options.text),
            "steps": getattr(options, f"{group}_steps"), "tests": options.tests,
            "config": config(name, WIDTHS[group], LAYERS, 1, VOCABS[group], 0)}


def chosen(runs: Runs, task: str, name: str, options: Any) -> tuple[list[Job], float | None]:
    return search(runs, lambda rate: make(task, name, rate, 0, options), RATES, "choice", most=2)


def planner(options: Any) -> Any:
    def plan(runs: Runs) -> list[Job]:
        jobs: list[Job] = []
        for task in options.tasks.split(","):
            for name in options.models.split(","):
                missing, best = chosen(runs, task, name, options)
                jobs += missing
                if best is not None:
                    jobs += [job for seed in range(options.seeds)
                             if runs.get(job := make(task, name, best, seed, options)) is None]
        return jobs
    return plan


def found(runs: Runs, task: str, name: str, value: str, options: Any) -> list[float]:
    rate = chosen(runs, task, name, options)[1]
    jobs = [] if rate is None else [make(task, name, rate, s, options) for s in range(options.seeds)]
    return [100 * runs.number(job, value, math.nan) for job in jobs if runs.get(job)]


def tables(options: Any, runs: Runs) -> None:
    def cells(task: str, name: str, points: list[str]) -> list[str]:
        return [spread(found(runs, task, name, point, options), "{:.0f}") for point in points]

    def parameters(task: str, name: str) -> str:
        return f"{size(make(task, name, RATES[0], 0, options)['config']):,}"

    write(options.out, "mqar", table(
        ["model", "parameters", *(p.replace("/", " tokens, ") + " pairs" for p in MQAR_POINTS)],
        [[name, parameters("mqar", name), *cells("mqar", name, MQAR_POINTS)] for name in KINDS]))
    points = [f"{variant} {length}" for length in LENGTHS for variant in NEEDLES]
    write(options.out, "needles", table(
        ["model", "parameters", *points],
        [[name, parameters("needles", name), *cells("needles", name, points)] for name in KINDS]))
    lengths = ["2 to 50", "51 to 100"]
    write(options.out, "formal", table(
        ["model", "parameters", *LANGUAGES],
        [[f"{name}, lengths {length}", parameters("parity", name),
          *(cells(task, name, [length])[0] for task in LANGUAGES)]
         for name in KINDS for length in lengths]))


def main() -> None:
    parser = arguments("Recall and formal languages")
    for name, value in STEPS.items():
        parser.add_argument(f"--{name}-steps", type=int, default=value)
    parser.add_argument("--tasks", default=",".join(["mqar", "needles", *LANGUAGES]),
                        help="some of them, by commas")
    parser.add_argument("--models", default=",".join(KINDS), help="some of them, by commas")
    parser.add_argument("--tests", type=int, default=2000, help="answers that a score is a share of")
    options = parser.parse_args()
    runs = Runs(options.out / "recall.jsonl")
    if not options.table:
        run_all(planner(options), work, runs, options)
    tables(options, runs)


if __name__ == "__main__":
    main()
