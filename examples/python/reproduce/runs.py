"""Bookkeeping of many training runs: what is done, what is open, two processes, one file.

A run is a job, a dict of plain settings, and its result, a dict of numbers.  The file has one line
of JSON for each run, written when the run ends: a script can be stopped and goes on where it was.
A job holds everything its numbers depend on, so other sizes never mix.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import math
import multiprocessing
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nested
from texts import load

HERE = pathlib.Path(__file__).resolve().parent
Job = dict[str, Any]
Result = dict[str, Any]


class Runs:
    """Results by job, in a file that grows by a line a run."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.results: dict[str, Result] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            entry = json.loads(line)
            self.results[_key(entry["job"])] = entry["result"]

    def get(self, job: Job) -> Result | None:
        return self.results.get(_key(job))

    def add(self, job: Job, result: Result) -> None:
        plain = json.loads(json.dumps(result), parse_constant=lambda name: None)  # JSON has no NaN
        self.results[_key(job)] = plain
        with self.path.open("a") as file:
            file.write(json.dumps({"job": job, "result": plain}, sort_keys=True) + "\n")

    def number(self, job: Job, name: str, missing: float = math.inf) -> float:
        """One number of a run; `missing` where the run failed or the number is not finite."""
        value = (self.get(job) or {}).get(name)
        return missing if value is None else float(value)


def _key(job: Job) -> str:
    return json.dumps(job, sort_keys=True)


def search(
    runs: Runs, make: Callable[[float], Job], rates: list[float], score: str, factor: float = 2.0,
    most: int = 5,
) -> tuple[list[Job], float | None]:
    """The grid of learning rates of one model: jobs still open, and the best rate once it is known.

    The grid grows by one rate as long as the best lies at its edge, up to `most` rates: the same
    effort for every model, wherever its best rate is.  `score` is a loss, the smaller the better.
    """
    tried = sorted(rates)
    while True:
        open_jobs = [make(rate) for rate in tried if runs.get(make(rate)) is None]
        if open_jobs:
            return open_jobs, None
        best = min(tried, key=lambda rate: runs.number(make(rate), score))
        if best not in (tried[0], tried[-1]) or len(tried) >= most:
            return [], best
        following = best * factor if best == tried[-1] else best / factor
        tried = sorted([*tried, float(f"{following:.3g}")])


def run_all(
    plan: Callable[[Runs], list[Job]], work: Callable[[Job, bytes], Result], runs: Runs, options: Any,
) -> None:
    """Runs what `plan` says is open, and asks it again after every run, until nothing is."""
    load(options.data, options.text)
    deadline = time.monotonic() + 60 * options.minutes
    processes = options.processes
    pending: dict[Any, Job] = {}
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        while True:
            busy = [_key(job) for job in pending.values()]
            open_jobs = [job for job in plan(runs) if _key(job) not in busy]
            while open_jobs and len(pending) < processes and time.monotonic() < deadline:
                job = open_jobs.pop(0)
                pending[pool.submit(timed, work, job, options.data, options.text)] = job
            if not pending:
                break
            ended = concurrent.futures.wait(
                pending, return_when=concurrent.futures.FIRST_COMPLETED).done
            for future in ended:
                job = pending.pop(future)
                runs.add(job, future.result())
                print(" ".join(str(value) for value in job.values() if not isinstance(value, dict)),
                      {key: value for key, value in future.result().items() if key != "curve"},
                      flush=True)
    left = len(plan(runs))
    print("all runs are done" if not left else f"{left} runs are left: start again to go on")


def timed(
    work: Callable[[Job, bytes], Result], job: Job, data: str | None, other: str | None,
) -> Result:
    """A run, and the processor's seconds for it; a model that has become NaN is a result too."""
    started = time.process_time()
    try:
        result = work(job, load(data, other))
    except nested.NumericError as failure:
        result = {"failed": str(failure)}
    return {**result, "cpu_seconds": round(time.process_time() - started, 1)}


def new_model(config: dict[str, Any], seed: int) -> nested.Model:
    return nested.Model(config, seed=seed, context=nested.Context(threads=1))


def cosine(steps: int) -> dict[str, Any]:
    return {"type": "cosine", "warmup": max(1, min(50, steps // 10)), "total": steps, "floor": 0.1}


def rows(text: bytes, length: int, most: int | None = None) -> np.ndarray:
    """A text as rows of `length` predictions."""
    count = (len(text) - 1) // length
    starts = length * np.arange(count if most is None else min(most, count))
    return np.frombuffer(text, np.uint8)[starts[:, None] + np.arange(length + 1)]


def loss(model: nested.Model, table: np.ndarray, batch: int = 16) -> float:
    """Nats per prediction, every row read as a fresh stream."""
    parts = [model.evaluate(table[at:at + batch]) for at in range(0, len(table), batch)]
    return sum(p.loss * p.targets for p in parts) / sum(p.targets for p in parts)


def arguments(description: str) -> argparse.ArgumentParser:
    """What every script has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", default=os.environ.get("DATA"),
                        help="folder with tinyshakespeare (also: the variable DATA)")
    parser.add_argument("--text", help="any other file instead of tinyshakespeare")
    parser.add_argument("--out", type=pathlib.Path, default=HERE,
                        help="folder of the results, the plot and README.md")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no run after this")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="only write the table and the plot")
    return parser
