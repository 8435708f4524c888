"""The evidence behind the default configuration of Hope.

    python ablation.py [--data DIR] [--minutes 25] [--only SECTION] [--processes 2] [--table]

Sections: `text` (loss on tinyshakespeare), `pairs` (recall of values by their keys, without and
with repeated keys), `steps` (10,000 training steps) and `stream` (1,000,000 tokens read with
learning on).  Every run is one entry of ablation/results.json, written when it ends: the script can
be stopped and goes on where it was.  --table writes the tables of ablation/README.md from that file.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import math
import multiprocessing
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import nested

FOLDER = pathlib.Path(__file__).resolve().parent / "ablation"
RESULTS = FOLDER / "results.json"
SEEDS = range(5)
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
ORIGIN = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"

ADAPT = {
    "mem": ["mem"], "mem k v": ["mem", "k", "v"], "mem eta alpha": ["mem", "eta", "alpha"],
    "all": ["k", "v", "eta", "alpha", "mem"],
}


def variants() -> dict[str, dict[str, Any]]:
    """Name → keys of "memory" that differ from the defaults."""
    result: dict[str, dict[str, Any]] = {}
    for objective in ("l2", "dot"):
        for chunk in (1, 4, 16):
            for name, adapt in ADAPT.items():
                if name in ("all", "mem") or chunk == 16:
                    result[f"{objective}, chunk {chunk}, {name}"] = {
                        "objective": objective, "memory_chunk": chunk, "projection_chunk": chunk,
                        "adapt": adapt}
    base = {"objective": "l2", "memory_chunk": 16, "projection_chunk": 16}
    for eta_max in (0.5, 0.25):
        result[f"l2, chunk 16, all, eta_max {eta_max}"] = {**base, "eta_max": eta_max}
    result["l2, chunk 4, all, eta_max 0.5"] = {
        **base, "memory_chunk": 4, "projection_chunk": 4, "eta_max": 0.5}
    result["l2, chunk 16, all, gd"] = {**base, "inner_rule": "gd"}
    result["l2, chunk 16, all, mlp"] = {**base, "type": "mlp"}
    result["l2, chunk 16, all, mlp, eta_max 0.5"] = {**base, "type": "mlp", "eta_max": 0.5}
    result["paper"] = {
        "type": "mlp", "expansion": 4, "outer_rule": "decay", "normalize_value": False,
        "input_projection": "none", "read": "chunk", "eta_max": 0.01}
    result["dot, chunk 16, mem eta alpha, eta_max 0.5"] = {
        **base, "objective": "dot", "adapt": ADAPT["mem eta alpha"], "eta_max": 0.5}
    return result


def shakespeare(data: str | None) -> bytes:
    """The text, checked; or a word on where it comes from."""
    for path in ([pathlib.Path(data) / "tinyshakespeare" / "input.txt",
                  pathlib.Path(data) / "input.txt"] if data else []):
        if path.is_file():
            text = path.read_bytes()
            if hashlib.sha256(text).hexdigest() != SHA256:
                sys.exit(f"{path} is not the file meant here: its sha256 is not {SHA256}")
            return text
    sys.exit(f"The ablation needs tinyshakespeare (1,115,394 bytes, public domain):\n  {ORIGIN}\n"
             f"  sha256 {SHA256}\n"
             "Put it into a folder as input.txt, then: make ablation DATA=folder")


# The key-value task.  Tokens 0..15 are keys, 16..31 values; a row of 32 tokens writes pairs and then
# asks.  "distinct": 8 keys once each, all asked.  "repeated": 2 pairs of noise, then 2 keys in
# bursts of 4 equal pairs, the first of them again with another value; the last value counts.

KEYS = VALUES = 16


def recall_row(random: np.random.Generator, repeated: bool) -> tuple[list[int], list[int]]:
    """Tokens and targets of one row; only answers are targets."""
    keys = random.permutation(KEYS)
    pairs: list[tuple[int, int]] = []
    known: dict[int, int] = {}
    if repeated:
        pairs += [(int(k), int(random.integers(VALUES)) + KEYS) for k in keys[4:6]]
        for key in [*keys[:2], keys[0]]:
            known[int(key)] = int(random.integers(VALUES)) + KEYS
            pairs += [(int(key), known[int(key)])] * 4
    else:
        for key in keys[:8]:
            known[int(key)] = int(random.integers(VALUES)) + KEYS
            pairs.append((int(key), known[int(key)]))
    tokens = [token for pair in pairs for token in pair]
    targets = [nested.IGNORE] * len(tokens)
    for key in random.permutation(list(known)):
        tokens += [int(key), known[int(key)]]
        targets += [known[int(key)], nested.IGNORE]
    return tokens, targets


def recall_batch(
    random: np.random.Generator, rows: int, kinds: list[bool],
) -> tuple[np.ndarray, np.ndarray]:
    made = [recall_row(random, kinds[i % len(kinds)]) for i in range(rows)]
    return np.array([t for t, _ in made], np.int32), np.array([t for _, t in made], np.int32)


# One run of each section: (memory keys, seed, text) → numbers

def new_model(preset: str, memory: dict[str, Any], seed: int, **keys: Any) -> nested.Model:
    config = {"preset": preset, "memory": memory, **keys}
    return nested.Model(config, seed=seed, context=nested.Context(threads=1))


def cosine(total: int) -> dict[str, Any]:
    return {"type": "cosine", "warmup": min(50, total // 10), "total": total, "floor": 0.1}


def run_text(memory: dict[str, Any], seed: int, text: bytes, steps: int = 300) -> dict[str, Any]:
    cut = len(text) * 9 // 10
    model = new_model("hope-0.1m", memory, seed)
    fit = nested.Trainer(model, lr=4e-3, seed=seed, schedule=cosine(steps)).fit(
        text[:cut], steps, 8, 128)
    rows = np.frombuffer(text[cut:cut + 64 * 257], np.uint8).reshape(64, 257)
    return {"loss": model.loss(rows), "skipped": fit.skipped}


def run_pairs(memory: dict[str, Any], seed: int, text: bytes, steps: int = 600) -> dict[str, Any]:
    model = new_model("hope-0.1m", memory, seed, vocab=KEYS + VALUES)
    trainer = nested.Trainer(model, lr=1e-2, weight_decay=0.01, schedule=cosine(steps))
    random = np.random.default_rng(seed)
    skipped = 0
    for _ in range(steps):
        tokens, targets = recall_batch(random, 32, [False, True])
        skipped += not trainer.step(tokens, targets=targets).applied
    result: dict[str, Any] = {"skipped": skipped}
    for name, repeated in (("distinct", False), ("repeated", True)):
        tokens, targets = recall_batch(np.random.default_rng(1000), 256, [repeated])
        right = model.forward(tokens).argmax(-1) == targets
        result[name] = float(right[targets >= 0].mean())
    return result


def run_steps(
    memory: dict[str, Any], seed: int, text: bytes, steps: int = 10_000, preset: str = "hope-0.1m",
) -> dict[str, Any]:
    model = new_model(preset, memory, seed)
    trainer = nested.Trainer(model, seed=seed, schedule=cosine(steps))
    losses, skipped = [], 0
    for _ in range(steps // 100):
        fit = trainer.fit(text, 100, 4, 64)
        losses.append(fit.mean_loss)
        skipped += fit.skipped
    return {"loss": losses[-1], "highest": max(losses), "skipped": skipped,
            "nan": sum(not math.isfinite(loss) for loss in losses),
            "weights finite": bool(np.isfinite(model.parameters).all())}


def run_stream(
    memory: dict[str, Any], seed: int, text: bytes, tokens: int = 1_000_000,
    preset: str = "hope-0.1m",
) -> dict[str, Any]:
    """A short training, then the whole text with learning on: fresh weights would not be used."""
    model = new_model(preset, memory, seed)
    nested.Trainer(model, seed=seed, schedule=cosine(300)).fit(text, 300, 8, 128)
    losses = []
    with model.session(learn="on", seed=seed) as session:
        for start in range(0, tokens, 10_000):
            losses.append(session.read(text[start:start + 10_000]).loss)
        levels = session.levels
        return {"loss": float(np.mean(losses)), "first": losses[0], "last": losses[-1],
                "highest": max(losses), "nan": sum(not math.isfinite(loss) for loss in losses),
                "updates": session.updates, "skipped": session.skipped,
                "moved": max(level.delta_norm / level.weight_norm for level in levels)}


RUNS = {"text": run_text, "pairs": run_pairs, "steps": run_steps, "stream": run_stream}


def jobs(only: str | None) -> Iterator[tuple[str, str, dict[str, Any], int, dict[str, Any]]]:
    """Every run: (key, section, memory keys, seed, further arguments), the quick ones first."""
    for section in ("text", "pairs"):
        for seed in SEEDS:
            for name, memory in variants().items():
                if only in (None, section):
                    yield f"{section} | {name} | {seed}", section, memory, seed, {}
    for section in ("steps", "stream"):
        if only in (None, section):
            for seed in SEEDS:
                yield f"{section} | default | {seed}", section, {}, seed, {}
            yield f"{section} | default, 1 M | 0", section, {}, 0, {"preset": "hope-1m"}


def work(
    section: str, memory: dict[str, Any], seed: int, text: bytes, further: dict[str, Any],
) -> dict[str, Any]:
    started = time.monotonic()
    try:
        result = RUNS[section](memory, seed, text, **further)
    except nested.NumericError as failure:
        result = {"failed": str(failure)}
    plain = {key: None if isinstance(value, float) and not math.isfinite(value) else value
             for key, value in result.items()}  # JSON has no NaN
    return {**plain, "seconds": round(time.monotonic() - started, 1)}


def read_results() -> dict[str, Any]:
    """Key → numbers, of the runs that this script knows."""
    known = {job[0] for job in jobs(None)}
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return {key: run for key, run in found.items() if key in known}


def run_all(text: bytes, only: str | None, minutes: float, processes: int) -> None:
    results = read_results()
    open_jobs = [job for job in jobs(only) if job[0] not in results]
    print(f"{len(results)} runs are done, {len(open_jobs)} are open")
    deadline = time.monotonic() + 60 * minutes
    pending: dict[Any, str] = {}
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        while open_jobs or pending:
            while open_jobs and len(pending) < processes and time.monotonic() < deadline:
                key, *job = open_jobs.pop(0)
                pending[pool.submit(work, job[0], job[1], job[2], text, job[3])] = key
            if not pending:
                break
            for future in concurrent.futures.wait(
                    pending, return_when=concurrent.futures.FIRST_COMPLETED).done:
                key = pending.pop(future)
                results[key] = future.result()
                print(f"{key}: {results[key]}", flush=True)
                beside = RESULTS.with_suffix(".new")
                beside.write_text(json.dumps(results, indent=0, sort_keys=True) + "\n")
                os.replace(beside, RESULTS)
    left = sum(job[0] not in results for job in jobs(only))
    print("all runs are done" if not left else f"{left} runs are left: start again to go on")


# Tables

def column(results: dict[str, Any], section: str, name: str, value: str, best: Any) -> str:
    """Mean over the seeds and the worst of them."""
    found = [results[key] for seed in SEEDS
             if (key := f"{section} | {name} | {seed}") in results]
    if not found:
        return "-"
    numbers = [run.get(value, math.nan) for run in found]
    numbers = [math.nan if number is None else number for number in numbers]
    if not all(map(math.isfinite, numbers)):
        return "**NaN**"
    worst = max(numbers) if best is min else min(numbers)
    form = (lambda x: f"{100 * x:.0f} %") if value in ("distinct", "repeated") else (
        lambda x: f"{x:.3f}")
    return f"{form(float(np.mean(numbers)))} (worst {form(worst)}" + (
        ")" if len(found) == len(SEEDS) else f" of {len(found)})")


def decimal(number: float | None) -> str:
    return "**NaN**" if number is None else f"{number:.3f}"


def table(results: dict[str, Any]) -> str:
    lines = ["| memory | text, nats per byte | recall, distinct keys | recall, repeated keys "
             "| skipped steps |",
             "|---|---|---|---|---|"]
    for name in variants():
        skipped = sum(results[key].get("skipped", 0) for section in ("text", "pairs")
                      for seed in SEEDS if (key := f"{section} | {name} | {seed}") in results)
        lines.append(f"| {name} | " + " | ".join([
            column(results, "text", name, "loss", min),
            column(results, "pairs", name, "distinct", max),
            column(results, "pairs", name, "repeated", max), str(skipped)]) + " |")
    lines += ["",
              "| default configuration | seed | NaN | skipped updates | last loss | highest loss |",
              "|---|---|---|---|---|---|"]
    kinds = [("steps", "10,000 training steps"), ("stream", "1,000,000 tokens, learning on")]
    for section, words in kinds:
        for name in ("default", "default, 1 M"):
            for seed in SEEDS:
                run = results.get(f"{section} | {name} | {seed}")
                if run:
                    size = "1 M" if "1 M" in name else "0.1 M"
                    last, highest = run.get("last", run.get("loss")), run.get("highest")
                    lines.append(
                        f"| {words}, {size} parameters | {seed} | {run.get('nan', 'failed')} | "
                        f"{run.get('skipped', '-')} | {decimal(last)} | {decimal(highest)} |")
    return "\n".join(lines)


def write_table() -> None:
    readme = FOLDER / "README.md"
    begin, end = "<!-- tables: begin -->", "<!-- tables: end -->"
    text = readme.read_text()
    head, tail = text[:text.index(begin) + len(begin)], text[text.index(end):]
    results = read_results()
    readme.write_text(f"{head}\n\n{table(results)}\n\n{tail}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("DATA"),
                        help="folder with tinyshakespeare (also: the variable DATA)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no run after this")
    parser.add_argument("--only", choices=list(RUNS), help="one section")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--table", action="store_true", help="only write the tables")
    arguments = parser.parse_args()
    if not arguments.table:
        run_all(shakespeare(arguments.data), arguments.only, arguments.minutes, arguments.processes)
    write_table()


if __name__ == "__main__":
    main()
