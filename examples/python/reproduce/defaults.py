"""What should a Hope be by default?  Candidates at the size of reproduce-lm, for half as long.

    make reproduce-defaults DATA=folder       (python defaults.py --data folder)

Every candidate is the model "Hope" of lm.py with another memory or another initialisation, trained
at each of the same learning rates with seed 0 and then with further seeds at its best one.  Recall
is multi-query associative recall, as in recall.py, at the rates listed there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import nested
import recall
from models import MAIN_MEMORY, SELF_MODIFYING, config
from report import spread, table, write
from runs import Job, Result, Runs, arguments, cosine, loss, new_model, rows, run_all, search
from texts import named, parts

RATES = [8e-3, 1.6e-2]
DOT = MAIN_MEMORY

# Name → keys of "memory" beside SELF_MODIFYING's, and initial values that no configuration has: a bias of the gates, or
# "conv": taps "random", uniform in ±1/2 as PyTorch's for four inputs, or "off": the last one is 1,
# the others are 0, and stay so.
CANDIDATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "l2, all": ({}, {}),
    "l2, mem": ({"adapt": ["mem"]}, {}),
    "dot, all": ({"objective": "dot"}, {}),
    "dot, mem eta alpha": ({"objective": "dot", "adapt": ["mem", "eta", "alpha"]}, {}),
    "dot, mem": (DOT, {}),
    "dot, mem, chunk 64": ({**DOT, "memory_chunk": 64, "projection_chunk": 64}, {}),
    "dot, mem, read chunk": ({**DOT, "read": "chunk"}, {}),
    "dot, mem, values not normalised": ({**DOT, "normalize_value": False}, {}),
    "dot, mem, one input": ({**DOT, "input_projection": "shared"}, {}),
    "dot, mem, η 0.27 at first": (DOT, {"eta_bias": -1.0}),
    "dot, mem, α 0.88 at first": (DOT, {"alpha_bias": 2.0}),
    "dot, mem, α 0.998 at first": (DOT, {"alpha_bias": 6.0}),
    "dot, mem, random taps": (DOT, {"conv": "random"}),
    "dot, mem, no convolution": (DOT, {"conv": "off"}),
    "l2, all, random taps": ({}, {"conv": "random"}),
    "l2, all, η 0.27 at first": ({}, {"eta_bias": -1.0}),
}


def initialise(model: nested.Model, values: dict[str, Any], seed: int) -> None:
    random = np.random.default_rng(seed)
    for name in model.tensors:
        last = name.split(".")[-1]
        if last in values:
            model.tensors[name] = np.full(model.tensors.info(name).shape, values[last], np.float32)
        elif "_conv." in name and "conv" in values:
            shape = model.tensors.info(name).shape
            taps = random.uniform(-0.5, 0.5, shape) if values["conv"] == "random" else [0, 0, 0, 1]
            model.tensors[name] = np.broadcast_to(taps, shape).astype(np.float32)


def work(job: Job, text: bytes) -> Result:
    model = new_model(job["config"], job["seed"])
    initialise(model, job["initial"], job["seed"])
    if job["task"] == "mqar":
        return recall.train_and_score(model, job)
    train, choice, report = parts(text)
    fixed = {"groups": [{"pattern": "*_conv.*", "lr": 0.0}]} if job["initial"].get("conv") == "off" else {}
    trainer = nested.Trainer(
        model, lr=job["lr"], seed=job["seed"], schedule=cosine(job["steps"]), **fixed)
    fit = trainer.fit(train, job["steps"], job["batch"], job["length"])
    return {"choice": loss(model, rows(choice, job["length"])),
            "loss": loss(model, rows(report, job["length"])), "skipped": fit.skipped}


def make(task: str, name: str, rate: float, seed: int, options: Any) -> Job:
    memory, initial = CANDIDATES[name]
    if task == "mqar":
        job = recall.make("mqar", "Hope", rate, seed, options)
    else:
        job = {"task": task, "lr": rate, "seed": seed, "steps": options.steps,
               "batch": options.batch, "length": options.length, **named(options.text),
               "config": config("Hope", options.width, options.layers, options.heads, 256, 0)}
    return {**job, "model": name, "initial": initial,
            "config": {**job["config"], "memory": {**SELF_MODIFYING, **memory}}}


def chosen(runs: Runs, task: str, name: str, options: Any) -> tuple[list[Job], float | None]:
    rates = RATES if task == "text" else recall.RATES
    return search(runs, lambda rate: make(task, name, rate, 0, options), rates, "choice", most=len(rates))


def planner(options: Any, names: list[str], tasks: list[str]) -> Any:
    def plan(runs: Runs) -> list[Job]:
        jobs: list[Job] = []
        for task in tasks:
            for name in names:
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
    return [runs.number(job, value, math.nan) for job in jobs if runs.get(job)]


def tables(options: Any, runs: Runs) -> None:
    lines = []
    for name in CANDIDATES:
        text = [x / math.log(2) for x in found(runs, "text", name, "loss", options)]
        if text:
            rate = chosen(runs, "text", name, options)[1]
            choice = [x / math.log(2) for x in found(runs, "text", name, "choice", options)]
            lines.append([name, f"{rate:g}", spread(text), spread(choice), *(
                spread([100 * x for x in found(runs, "mqar", name, point, options)], "{:.0f}")
                for point in recall.MQAR_POINTS)])
    write(options.out, "defaults", table(
        ["memory", "learning rate", "bits per byte", "on the 5 % before", *(
            f"recall, {point.replace('/', ' tokens, ')} pairs, %" for point in recall.MQAR_POINTS)],
        lines))


def main() -> None:
    parser = arguments("Candidates for Hope's defaults")
    for name, value in (("width", 96), ("layers", 2), ("heads", 2), ("steps", 256), ("batch", 8),
                        ("length", 256), ("mqar-steps", recall.STEPS["mqar"])):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--tests", type=int, default=2000)
    parser.add_argument("--candidates", default=";".join(CANDIDATES), help="some of them, by ;")
    parser.add_argument("--tasks", default="text,mqar")
    options = parser.parse_args()
    runs = Runs(options.out / "defaults.jsonl")
    plan = planner(options, options.candidates.split(";"), options.tasks.split(","))
    if not options.table:
        run_all(plan, work, runs, options)
    tables(options, runs)


if __name__ == "__main__":
    main()
