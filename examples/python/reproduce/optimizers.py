"""The papers' optimizers against AdamW and Muon on real training.

    make reproduce-optimizers DATA=folder     (python optimizers.py --data folder)

One small Hope on tinyshakespeare.  For every optimizer the same effort: three learning rates with
seed 0, more while the best lies at the edge (up to six), then further seeds at the best rate, which
is chosen on a part of the text that neither training nor the table sees.  Everything else is the
trainer's default.

    python optimizers.py --timing 5         a step's time, optimizers taking turns: on a quiet machine
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np

import nested
from models import config, size
from report import Line, plot, spread, table, write
from runs import Job, Result, Runs, arguments, cosine, loss, new_model, rows, run_all, search
from texts import named, parts

RATES = {
    "adamw": [4e-3, 8e-3, 1.6e-2], "muon": [1e-2, 2e-2, 4e-2], "m3": [1e-2, 2e-2, 4e-2],
    "momentum": [0.25, 0.5, 1], "dgd": [0.25, 0.5, 1], "delta-momentum": [0.25, 0.5, 1],
    "dmgd": [0.5, 1, 2], "m3-literal": [5e-5, 1e-4, 2e-4],
}
MEASURES = 8  # of the loss, along a run


def work(job: Job, text: bytes) -> Result:
    train, choice, report = parts(text)
    model = new_model(job["config"], job["seed"])
    steps, length = job["steps"], job["length"]
    trainer = nested.Trainer(model, optimizer=job["optimizer"], lr=job["lr"], seed=job["seed"],
                             schedule=cosine(steps))
    curve, skipped = [], 0
    for at in range(MEASURES):
        count = steps * (at + 1) // MEASURES - steps * at // MEASURES
        skipped += trainer.fit(train, count, job["batch"], length).skipped
        curve.append(loss(model, rows(report, length, 128)))
    return {"choice": loss(model, rows(choice, length, job["rows"])),
            "loss": loss(model, rows(report, length, job["rows"])),
            "curve": curve, "skipped": skipped}


def make(name: str, rate: float, seed: int, options: Any) -> Job:
    return {"optimizer": name, "lr": rate, "seed": seed, "steps": options.steps,
            "batch": options.batch, "length": options.length, "rows": options.rows,
            **named(options.text),
            "config": config("Hope", options.width, options.layers, options.heads, 256, 0)}


def chosen(runs: Runs, name: str, options: Any) -> tuple[list[Job], float | None]:
    return search(runs, lambda rate: make(name, rate, 0, options), RATES[name], "choice", most=6)


def planner(options: Any) -> Any:
    def plan(runs: Runs) -> list[Job]:
        jobs: list[Job] = []
        for name in options.optimizers.split(","):
            missing, best = chosen(runs, name, options)
            jobs += missing
            if best is not None:
                jobs += [job for seed in range(options.seeds)
                         if runs.get(job := make(name, best, seed, options)) is None]
        return jobs
    return plan


def timing(options: Any, path: Any) -> None:
    """Milliseconds of a training step on one thread: optimizers take turns, the median counts."""
    text = bytes(range(256)) * 64
    configuration = make("adamw", 1e-3, 0, options)["config"]
    trainers = {name: nested.Trainer(new_model(configuration, 0), optimizer=name, lr=1e-4)
                for name in RATES}
    found: dict[str, list[float]] = {name: [] for name in RATES}
    for round_ in range(options.timing + 1):
        for name, trainer in trainers.items():
            started = time.perf_counter()
            trainer.fit(text, 10, options.batch, options.length)
            if round_:  # the first is to warm up
                found[name].append(round(100 * (time.perf_counter() - started), 2))
    path.write_text(json.dumps(found))
    print({name: f"{np.median(times):.1f} ms" for name, times in found.items()})


def tables(options: Any, runs: Runs) -> None:
    time_file = options.out / "optimizers-time.json"
    times = json.loads(time_file.read_text()) if time_file.exists() else {}
    lines, by_step, by_time = [], [], []
    for name, rates in RATES.items():
        rate = chosen(runs, name, options)[1]
        jobs = [] if rate is None else [make(name, rate, s, options) for s in range(options.seeds)]
        results = [result for job in jobs if (result := runs.get(job))]
        if not results:
            continue
        found = [math.nan if r.get("loss") is None else r["loss"] for r in results]
        curves = [[math.nan if x is None else x for x in r.get("curve", [])] for r in results]
        curves = [curve for curve in curves if curve]
        step = float(np.median(times[name])) if name in times else None
        tried = [r for r in _rates_of(runs, name) if runs.get(make(name, r, 0, options))]
        lines.append([
            name, f"{rate:g} of {len(tried)} tried ({min(tried):g} to {max(tried):g})",
            spread(found), *(spread([c[i] for c in curves]) for i in (1, 3)),
            str(sum(r.get("skipped", 0) for r in results)),
            f"{step:.1f}" if step else "-", f"{step * options.steps / 1000:.0f}" if step else "-"])
        marks = [options.steps * (i + 1) // MEASURES for i in range(MEASURES)]
        by_step.append(Line(name, marks, curves))
        if step:
            by_time.append(Line(name, [mark * step / 1000 for mark in marks], curves))
    marks = [options.steps * (i + 1) // MEASURES for i in (1, 3)]
    write(options.out, "optimizers", table(
        ["optimizer", "learning rate", "loss at the end", *(f"after {m} steps" for m in marks),
         "skipped steps", "ms a step", "seconds a run"], lines))
    best = min((min(min(seed) for seed in line.seeds) for line in by_step if line.seeds), default=0)
    plot([(f"Loss against {what}", axis, "nats per byte", [_clipped(line, best + 1) for line in curves])
          for what, axis, curves in (("steps", "steps", by_step), ("time", "seconds", by_time))
          if curves], options.out / "optimizers.svg")


def _rates_of(runs: Runs, name: str) -> list[float]:
    return sorted({job["lr"] for key in runs.results
                   if (job := json.loads(key)).get("optimizer") == name})


def _clipped(line: Line, top: float) -> Line:
    """Curves that leave the picture run along its upper edge."""
    return Line(line.name, line.x, [[min(x, top) if math.isfinite(x) else top for x in seed]
                                    for seed in line.seeds])


def main() -> None:
    parser = arguments("Optimizers on a small Hope")
    for name, value in (("width", 64), ("layers", 2), ("heads", 2), ("steps", 400), ("batch", 16),
                        ("length", 128), ("rows", 400), ("timing", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--optimizers", default=",".join(RATES), help="some of them, by commas")
    options = parser.parse_args()
    runs = Runs(options.out / "optimizers.jsonl")
    if options.timing:
        timing(options, options.out / "optimizers-time.json")
    elif not options.table:
        run_all(planner(options), work, runs, options)
    tables(options, runs)


if __name__ == "__main__":
    main()
