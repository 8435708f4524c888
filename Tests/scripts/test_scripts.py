"""A short slice of what is too slow for every test run: the demo, the ablation, the benchmarks."""

import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = str(ROOT / "build" / "lib" / "libnested.so.1")
os.environ.setdefault("NESTED_LIBRARY", LIBRARY)  # before the package is imported
sys.path.insert(0, str(ROOT / "bindings" / "python"))
SCRIPTS = ROOT / "examples" / "python"


def run(*command):
    environment = dict(os.environ, NESTED_LIBRARY=LIBRARY, PYTHONPATH=str(ROOT / "bindings" / "python"))
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_tells_its_story(tmp_path):
    """Two given files, a few steps: every section is there, and the levels moved."""
    (tmp_path / "text").write_bytes((ROOT / "LICENSE").read_bytes())
    (tmp_path / "stream").write_bytes((SCRIPTS / "demo.py").read_bytes())
    out = run(
        sys.executable, SCRIPTS / "demo.py", "--text", tmp_path / "text", "--stream", tmp_path / "stream",
        "--steps", "4", "--bytes", "4096", "--picture", tmp_path / "demo.png")
    for words in ("frozen", "session, learning online", "fine-tuned plainly", "every 64 bytes", "after:"):
        assert words in out
    updates = [line for line in out.splitlines() if "every 64 bytes" in line][0]
    assert int(updates.split("updates")[0].split()[-1].replace(",", "")) > 0


def test_the_ablation_runs_and_writes_its_table():
    spec = importlib.util.spec_from_file_location("ablation", SCRIPTS / "ablation.py")
    ablation = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ablation)
    text = (ROOT / "LICENSE").read_bytes() * 16
    assert math.isfinite(ablation.run_text({}, 0, text, steps=2)["loss"])
    assert 0 <= ablation.run_pairs({"objective": "dot"}, 0, text, steps=2)["distinct"] <= 1
    assert ablation.run_steps({}, 0, text, steps=100)["nan"] == 0
    assert "| l2, chunk 16, all |" in ablation.table({})


def test_large_models_have_figures():
    """The program of `make bench-large`, on a small model: estimated memory is what is taken, and mapped weights decode the same."""
    done = subprocess.run(
        [ROOT / "Sources/nested-bench/large/run.sh", "hope-1m"], stdout=subprocess.PIPE, text=True, check=True,
        env=dict(os.environ, NESTED_LIB=str(ROOT / "build/lib"), TOKENS="64", STEPS="1", DECODE="16"))
    step, _, copied, mapped = map(json.loads, done.stdout.splitlines())
    assert abs(step["context_mb"] / step["estimated_mb"] - 1) < 0.05
    assert (copied["last"], mapped["rss_file_mb"] > copied["rss_file_mb"]) == (mapped["last"], True)


def test_the_benchmarks_run():
    out = run("make", "--no-print-directory", "bench", "BENCH=--only loading")
    assert "dlopen" in out
