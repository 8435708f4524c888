"""Long runs of every kind with default settings: does anything become NaN?

    make soak [SOAK="--minutes 60 --processes 2 --only titans"]

A case is a kind with its variants, everything else at its default, about 0.1 M parameters.  Each seed is one run: 2,000
training steps with the trainer's defaults, then a stream of 200,000 bytes with learning on, where there are levels, else
with memories written.  Each run is an entry of results.json, written when it ends: the script can be stopped and goes
on where it was.  The table of README.md is made from that file, by --table without running anything.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import math
import multiprocessing
import os
import pathlib
import platform
import sys
import sysconfig
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import nested

FOLDER = pathlib.Path(__file__).resolve().parent
RESULTS = FOLDER / "results.json"
SEEDS = range(5)
STEPS, STREAM = 2000, 200_000
SIZES = {"vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32}


def cases() -> dict[str, dict[str, Any]]:
    """Name → keys of the configuration beside the sizes."""
    def levels(kind: str, variant: str, **more: Any) -> dict[str, Any]:
        return {"kind": kind, "cms": {"variant": variant, "levels": [
            {"chunk": 64, "hidden": 64}, {"chunk": 1024, "hidden": 64, "lr": 3e-3}, {"chunk": 0, "hidden": 64}]}, **more}

    result: dict[str, dict[str, Any]] = {}
    for variant in ("sequential", "nested", "independent"):
        result[f"hope, {variant}"] = levels("hope", variant)
        # A stream of this length is a window's business: without one its cost grows with its square.
        result[f"hope-attention, {variant}"] = levels("hope-attention", variant, window=256)
    result["hope, mlp memories"] = levels("hope", "sequential", memory={"type": "mlp"})
    result["hope, preset paper"] = {"preset": "paper", **levels("hope", "sequential")}
    for mode in ("lmm", "mac", "mag", "mal"):
        for memory in ("mlp", "linear"):
            result[f"titans, {mode}, {memory}"] = {"kind": "titans", "titans": {"mode": mode, "memory": memory}}
    result["transformer"] = {"kind": "transformer", "window": 256}
    for kind in ("retnet", "deltanet", "gated-deltanet", "ttt-linear", "ttt-mlp", "srwm"):
        result[kind] = {"kind": kind}
    return result


def library_text() -> bytes:
    """Python's standard library: 2 MB of text that is wherever this runs, though not the same everywhere."""
    parts, size = [], 0
    for path in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        parts.append(path.read_bytes())
        size += len(parts[-1])
        if size > 2_000_000:
            break
    return b"".join(parts)


def run(case: dict[str, Any], seed: int, text: bytes, steps: int = STEPS, stream: int = STREAM) -> dict[str, Any]:
    """One run: losses of the last tenth of training and of the stream, the largest of either, and what went wrong."""
    data = np.frombuffer(text, np.uint8).astype(np.int32)
    train, rest = data[:-stream - 1], data[-stream - 1:]
    model = nested.Model({**SIZES, **case}, seed=seed, context=nested.Context(threads=1))
    trainer = nested.Trainer(
        model, seed=seed, schedule={"type": "cosine", "warmup": 100, "total": steps})
    pieces: list[float] = []
    skipped = 0
    for part in range(20):
        count = steps * (part + 1) // 20 - steps * part // 20
        done = trainer.fit(train, count, 4, 64)
        pieces.append(float(done.mean_loss))
        skipped += done.skipped
    learn = "on" if str(case.get("kind", "hope")).startswith("hope") else "memory"
    heard: list[float] = []
    bad = 0
    with model.session(learn=learn, seed=seed) as session:
        for part in np.array_split(rest, 100):
            heard.append(session.read(part).loss)
            bad += not np.isfinite(session.output).all()
        updates, dropped = session.updates, session.skipped
    return {
        "parameters": sum(model.tensors[name].size for name in model.tensors), "nan": bad + sum(not math.isfinite(x) for x in pieces + heard),
        "skipped": skipped, "trained": sum(pieces[-2:]) / 2, "highest": max(pieces),
        "stream": sum(heard) / len(heard), "stream_highest": max(heard), "updates": updates,
        "dropped": dropped, "learn": learn,
    }


# ---- running ------------------------------------------------------------------------------------------------

def job(name: str, seed: int) -> tuple[str, dict[str, Any]]:
    return f"{name} / {seed}", run(cases()[name], seed, library_text())


def load() -> dict[str, dict[str, Any]]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def save(results: dict[str, dict[str, Any]]) -> None:
    lines = [f"  {json.dumps(key)}: {json.dumps(results[key])}" for key in sorted(results)]
    new = RESULTS.with_suffix(".new")
    new.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    new.replace(RESULTS)


def table(results: dict[str, dict[str, Any]]) -> str:
    rows = ["| case | parameters | seeds | training: loss | highest | skipped | stream: learns | loss | highest | updates | dropped | NaN |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for name in cases():
        runs = [r for key, r in results.items() if key.rsplit(" / ", 1)[0] == name]
        if not runs:
            continue
        def worst(key: str) -> str:
            values = [r[key] for r in runs]
            return "**NaN**" if any(not math.isfinite(x) for x in values) else f"{max(values):.3f}"
        def total(key: str) -> str:
            return f"{sum(r[key] for r in runs):,}"
        rows.append(
            f"| {name} | {runs[0]['parameters']:,} | {len(runs)} | {worst('trained')} | {worst('highest')} | {total('skipped')} "
            f"| {runs[0]['learn']} | {worst('stream')} | {worst('stream_highest')} | {total('updates')} | {total('dropped')} | {total('nan')} |")
    return "\n".join(rows)


def write_table() -> None:
    page = FOLDER / "README.md"
    head, rest = page.read_text().split("<!-- table: begin -->")
    _, tail = rest.split("<!-- table: end -->")
    page.write_text(f"{head}<!-- table: begin -->\n\n{table(load())}\n\n<!-- table: end -->{tail}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--table", action="store_true", help="write the table and run nothing")
    arguments = parser.parse_args()
    if arguments.table:
        write_table()
        return
    os.nice(15)
    end = time.monotonic() + 60 * arguments.minutes
    results = load()
    # Every case once, before any a second time.
    todo = [(name, seed) for seed in SEEDS for name in cases()
            if arguments.only in name and f"{name} / {seed}" not in results]
    print(f"{len(todo)} runs to do, on {platform.processor() or platform.machine()}", flush=True)

    def waiting() -> Iterator[tuple[str, int]]:
        for one in todo:
            if time.monotonic() < end:
                yield one

    with concurrent.futures.ProcessPoolExecutor(
            arguments.processes, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        jobs = waiting()
        open_runs: set[concurrent.futures.Future[tuple[str, dict[str, Any]]]] = set()
        while True:
            while len(open_runs) < arguments.processes and (one := next(jobs, None)):
                open_runs.add(pool.submit(job, *one))
            if not open_runs:
                break
            done, open_runs = concurrent.futures.wait(open_runs, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                key, result = future.result()
                results = {**load(), key: result}
                save(results)
                print(key, json.dumps(result), flush=True)
    write_table()
    failed = sorted(key for key, r in results.items() if r["nan"] or r["dropped"])
    if failed:
        sys.exit("not finite: " + ", ".join(failed))


if __name__ == "__main__":
    main()
