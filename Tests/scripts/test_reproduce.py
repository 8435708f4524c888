"""A short slice of every experiment of examples/python/reproduce, and what its tasks are."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = str(ROOT / "build" / "lib" / "libnested.so.1")
os.environ.setdefault("NESTED_LIBRARY", LIBRARY)  # before the package is imported
SCRIPTS = ROOT / "examples" / "python" / "reproduce"
sys.path[:0] = [str(ROOT / "bindings" / "python"), str(SCRIPTS)]


@pytest.fixture
def script(tmp_path):
    """Runs a script on the licence as its text; returns its page and its results."""
    text = tmp_path / "text"
    text.write_bytes((ROOT / "LICENSE").read_bytes() * 16)

    def run(name, *options):
        environment = dict(os.environ, PYTHONPATH=str(ROOT / "bindings" / "python"))
        done = subprocess.run(
            [sys.executable, str(SCRIPTS / f"{name}.py"), "--text", str(text), "--out", str(tmp_path), *options],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Error" not in done.stderr
        lines = (tmp_path / f"{name}.jsonl").read_text().splitlines()
        return done.stdout, (tmp_path / "README.md").read_text(), [json.loads(line) for line in lines]
    return run


SMALL = ["--steps", "8", "--width", "32", "--batch", "2", "--length", "32", "--rows", "4", "--seeds", "1"]


def test_five_models_are_of_equal_size_and_a_second_start_runs_nothing(script, tmp_path):
    options = [*SMALL, "--stream", "128"]
    _, page, runs = script("lm", *options)
    sizes = {run["job"]["model"]: run["result"]["parameters"] for run in runs}
    assert len(sizes) == 6 and max(sizes.values()) < 1.03 * min(sizes.values())
    assert all(f"| {name} | {size:,} |" in page for name, size in sizes.items())
    assert (tmp_path / "lm.svg").read_text().count("<polyline") == 6
    assert len(script("lm", *options)[2]) == len(runs)
    script("lm", *options, "--timing", "1")
    assert set(json.loads((tmp_path / "lm-speed.json").read_text())) == set(sizes)


def test_the_recall_tasks_train_and_are_scored(script):
    _, page, runs = script(
        "recall", "--seeds", "1", "--tasks", "mqar,(aa)*,needles", "--mqar-steps", "1", "--formal-steps", "1",
        "--needles-steps", "1", "--tests", "16", "--models", "Hope,RetNet")
    assert {run["job"]["task"] for run in runs} == {"mqar", "(aa)*", "needles"}
    scores = [value for run in runs for key, value in run["result"].items() if "/" in key or " to " in key]
    assert scores and all(0 <= score <= 1 for score in scores)
    sizes = {run["result"]["parameters"] for run in runs if run["job"]["model"] == "Hope"}
    assert len(sizes) == 3 and all(f"| {size:,} |" in page for size in sizes)


def test_the_optimizers_and_the_candidates_run(script, tmp_path):
    _, page, runs = script("optimizers", *SMALL, "--optimizers", "adamw,m3")
    assert {run["job"]["optimizer"] for run in runs} == {"adamw", "m3"}
    assert "| m3 |" in page and (tmp_path / "optimizers.svg").exists()
    _, page, runs = script(
        "defaults", *SMALL[:6], "--length", "32", "--seeds", "1", "--candidates", "l2, all;dot, mem;l2, all, random taps",
        "--tasks", "text")
    assert len({run["result"]["loss"] for run in runs if run["job"]["lr"] == 8e-3}) == 3


def test_a_missing_text_says_where_it_comes_from(tmp_path):
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "bindings" / "python"), DATA=str(tmp_path))
    done = subprocess.run([sys.executable, str(SCRIPTS / "lm.py"), "--out", str(tmp_path)], env=environment,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "https://" in done.stderr and "86c4e6aa" in done.stderr


def test_the_grid_grows_until_the_best_rate_lies_inside(tmp_path):
    import runs
    known = runs.Runs(tmp_path / "runs.jsonl")
    tried = []
    while True:
        missing, best = runs.search(known, lambda rate: {"lr": rate}, [1.0, 2.0], "loss", most=5)
        if not missing:
            break
        for job in missing:
            tried.append(job["lr"])
            known.add(job, {"loss": abs(job["lr"] - 4) if job["lr"] < 8 else float("nan")})
    assert best == 4 and tried == [1, 2, 4, 8]
    assert runs.Runs(known.path).results == known.results  # NaN is null in the file, and counts as the worst
    assert known.number({"lr": 8.0}, "loss") == float("inf")


def test_recall_rows_ask_for_what_they_showed():
    import tasks
    for length, pairs in ((64, 8), (128, 32)):
        tokens, targets = tasks.mqar(np.random.default_rng(0), 20, length, pairs, 128)
        for x, y in zip(tokens, targets):
            shown = dict(zip(x[:2 * pairs:2], x[1:2 * pairs:2]))
            assert len(shown) == pairs == (y >= 0).sum()
            assert all(shown[x[i]] == y[i] for i in np.flatnonzero(y >= 0))


@pytest.mark.parametrize("variant", ["S1", "S2", "S3", "MK", "MQ", "MV"])
def test_needles_are_hidden_and_asked_for(variant):
    import tasks
    text = "a sentence of some words, and another one. " * 100
    words = tasks.Words(text)
    the, number, stop = words(tasks.SENTENCE), words("is"), words(".")
    for seed in range(20):
        x, y = tasks.needle(np.random.default_rng(seed), variant, 64, words, words(text))
        assert all(y[i] == x[i + 1] for i in range(len(x)) if y[i] >= 0)
        hay, asked = x[:64], [b for b in y if b >= 0]
        several, size = (4 if variant in ("MQ", "MV") else 1), (4 if variant == "S3" else 1)
        assert len(asked) == several * size
        names = [token for token in x[64:] if tasks.WORDS <= token < tasks.WORDS + tasks.KEYS]
        for i in range(several):
            value = asked[i * size:(i + 1) * size]
            sentence = [*the, names[i if variant == "MQ" else 0], *number, *value, *stop]
            assert any(hay[at:at + len(sentence)] == sentence for at in range(64))


def brute_force(language, longest):
    """Every string of a language up to a length, by its definition."""
    import itertools
    import re
    symbols = {"a^n b^n c^n": 3, "shuffle-2": 4, "(aa)*": 1}.get(language, 2)
    for n in range(1, longest + 1):
        for x in itertools.product(range(symbols), repeat=n):
            word = "".join("abcd"[s] for s in x)
            counts = [word.count(s) for s in "abcd"]
            if language == "shuffle-2":
                good = all(word[:i].count("a") >= word[:i].count("b") and word[:i].count("c") >= word[:i].count("d")
                           for i in range(n)) and counts[0] == counts[1] and counts[2] == counts[3]
            else:
                good = {"parity": counts[1] % 2 == 0, "(aa)*": n % 2 == 0,
                        "(abab)*": re.fullmatch("(abab)+", word) is not None,
                        "a^n b^n": word == "a" * counts[0] + "b" * counts[0],
                        "a^n b^n c^n": word == "a" * counts[0] + "b" * counts[0] + "c" * counts[0]}[language]
            if good:
                yield x


@pytest.mark.parametrize("language", ["parity", "(aa)*", "(abab)*", "a^n b^n", "a^n b^n c^n", "shuffle-2"])
def test_the_sets_of_formal_languages_are_those_of_the_definition(language):
    """A symbol may follow a prefix if some word goes on so; words up to `longest` show all that follows a `short` one."""
    import tasks
    longest, short = {"(aa)*": (12, 8), "(abab)*": (16, 8), "a^n b^n c^n": (9, 2), "shuffle-2": (8, 3)}.get(
        language, (10, 4))
    symbols = {"a^n b^n c^n": 3, "shuffle-2": 4, "(aa)*": 1}.get(language, 2)
    sets = {}
    for x in brute_force(language, longest):
        for i in range(1, len(x) + 1):
            sets[x[:i]] = sets.get(x[:i], 0) | 1 << (x[i] if i < len(x) else symbols)
    random, seen = np.random.default_rng(0), 0
    for _ in range(300):
        x, y = tasks.LANGUAGES[language](random, int(random.integers(2, longest + 1)))
        for i in range(1, min(short, len(x)) + 1):
            assert sets[tuple(x[:i])] == y[i - 1], (x[:i], y[i - 1])
            seen += 1
    assert seen > 300
