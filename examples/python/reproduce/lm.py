"""Transformer++, RetNet, Titans (LMM), Hope and Hope-Attention on a real text, all else equal.

    make reproduce-lm DATA=folder          (python lm.py --data folder [--steps 512] [--width 96])

Equal parameters (within 3 %), equal tokens, equal tuning: for every model the same grid of learning
rates with seed 0, grown while its best lies at the edge, then further seeds at the best rate.  The
rate is chosen on a part of the text that neither training nor the table sees.

    python lm.py --timing 5                training speed, models taking turns: on a quiet machine
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np

import nested
from models import KINDS, config, size
from report import Line, plot, spread, table, write
from runs import Job, Result, Runs, arguments, cosine, loss, new_model, rows, run_all, search
from texts import named, parts

RATES = [2e-3, 4e-3, 8e-3]
MEASURES = 8  # of the loss, along a run


def work(job: Job, text: bytes) -> Result:
    train, choice, report = parts(text)
    model = new_model(job["config"], job["seed"])
    steps, length = job["steps"], job["length"]
    trainer = nested.Trainer(model, lr=job["lr"], seed=job["seed"], schedule=cosine(steps))
    curve, skipped = [], 0
    for at in range(MEASURES):
        count = steps * (at + 1) // MEASURES - steps * at // MEASURES
        skipped += trainer.fit(train, count, job["batch"], length).skipped
        curve.append(loss(model, rows(report, length, 64)))
    return {
        "choice": loss(model, rows(choice, length, job["rows"])),
        "loss": loss(model, rows(report, length, job["rows"])),
        "parameters": model.size, "skipped": skipped, "curve": curve,
        **streams(model, report[:job["stream"]])}


def streams(model: nested.Model, text: bytes) -> Result:
    """The same text as one stream that never starts afresh, and once more with levels learning."""
    result: Result = {}
    for learn in ("memory", "on"):
        with model.session(learn=learn) as session:
            if learn == "memory" or session.levels:
                result[f"stream {learn}"] = session.read(text).loss
    return result


def make(name: str, rate: float, seed: int, options: Any) -> Job:
    return {"model": name, "lr": rate, "seed": seed, "steps": options.steps, "batch": options.batch,
            "length": options.length, "rows": options.rows, "stream": options.stream,
            **named(options.text),
            "config": config(name, options.width, options.layers, options.heads, 256, options.length)}


def planner(options: Any, names: list[str]) -> Any:
    def chosen(runs: Runs, name: str) -> tuple[list[Job], float | None]:
        return search(runs, lambda rate: make(name, rate, 0, options), RATES, "choice")

    def plan(runs: Runs) -> list[Job]:
        jobs: list[Job] = []
        for name in names:
            missing, best = chosen(runs, name)
            jobs += missing
            if best is not None:
                jobs += [job for seed in range(options.seeds)
                         if runs.get(job := make(name, best, seed, options)) is None]
        return jobs
    plan.chosen = chosen  # type: ignore[attr-defined]
    return plan


def timing(options: Any, names: list[str], path: Any) -> None:
    """Bytes a second of training on one thread: models take turns, the median of the rounds."""
    text = bytes(range(256)) * 64
    trainers = {name: nested.Trainer(new_model(make(name, 1e-3, 0, options)["config"], 0))
                for name in names}
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for name, trainer in trainers.items():
        trainer.fit(text, 2, options.batch, options.length)
    for _ in range(options.timing):
        for name, trainer in trainers.items():
            started = time.perf_counter()
            trainer.fit(text, 10, options.batch, options.length)
            speeds[name].append(
                10 * options.batch * options.length / (time.perf_counter() - started))
    path.write_text(json.dumps({name: [round(s) for s in found] for name, found in speeds.items()}))
    print({name: f"{np.median(found):,.0f} bytes/s" for name, found in speeds.items()})


def tables(options: Any, runs: Runs, plan: Any) -> None:
    speed_file = options.out / "lm-speed.json"
    speeds = json.loads(speed_file.read_text()) if speed_file.exists() else {}
    lines, curves = [], []
    for name in KINDS:
        rate = plan.chosen(runs, name)[1]
        jobs = [] if rate is None else [make(name, rate, s, options) for s in range(options.seeds)]
        jobs = [job for job in jobs if runs.get(job)]
        if not jobs:
            continue
        found = [runs.number(job, "loss", math.nan) for job in jobs]
        stream, learning = ([runs.number(job, f"stream {mode}", math.nan) / math.log(2) for job in jobs]
                            for mode in ("memory", "on"))
        levels = name.startswith("Hope")
        lines.append([
            name, f"{size(jobs[0]['config']):,}", f"{rate:g}",
            spread([x / math.log(2) for x in found]), f"{math.exp(np.mean(found)):.3f}",
            spread(stream), spread(learning) if levels else "has no levels",
            f"{np.median(speeds[name]):,.0f}" if name in speeds else "-"])
        tokens = [options.batch * options.length * (options.steps * (i + 1) // MEASURES) / 1e6
                  for i in range(MEASURES)]
        curves.append(Line(name, tokens, [
            [(x if x is not None else math.nan) / math.log(2) for x in (runs.get(job) or {})["curve"]]
            for job in jobs if "curve" in (runs.get(job) or {})]))
    write(options.out, "lm", table(
        ["model", "parameters", "learning rate", "bits per byte", "perplexity", "as one stream",
         "the stream, learning on", "training bytes/s"], lines))
    plot([("Loss while training (bits per byte, last 10 % of the text)", "million bytes read",
           "bits per byte", curves)], options.out / "lm.svg")


def main() -> None:
    parser = arguments("Five models at equal size on a real text")
    for name, value in (("width", 96), ("layers", 2), ("heads", 2), ("steps", 512), ("batch", 8),
                        ("length", 256), ("rows", 400), ("stream", 16384), ("timing", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--models", default=",".join(KINDS), help="some of them, by commas")
    options = parser.parse_args()
    names = options.models.split(",")
    runs, plan = Runs(options.out / "lm.jsonl"), planner(options, names)
    if options.timing:
        timing(options, names, options.out / "lm-speed.json")
    elif not options.table:
        run_all(plan, work, runs, options)
    tables(options, runs, plan)


if __name__ == "__main__":
    main()
