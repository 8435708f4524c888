"""Runs build/bin/nested-cli as a user does, and as a program does."""

import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest

# What starts the tests may ignore signals (a shell in the background, nohup), and the program would inherit that.
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "bin" / "nested-cli"
SOURCES = ROOT / "Sources" / "nested-cli"
COMMANDS = ["train", "generate", "learn", "score", "consolidate", "import", "stack", "info", "bench"]
SMALL = ["--preset", "hope-0.1m", "--batch", "2", "--length", "32"]
TEXT = b"the quick brown fox jumps over the lazy dog. " * 40
OTHER = b"zwei drei vier funf sechs sieben acht neun zehn. " * 60


def start(*arguments, cwd, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(
        [PROGRAM, *map(str, arguments)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def cli(*arguments, cwd, data=None, status=0):
    """Standard output and standard error of a run that ends with `status`."""
    process = start(*arguments, cwd=cwd, stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL)
    out, err = process.communicate(data, timeout=60)
    assert process.returncode == status, (process.returncode, out, err)
    return out, err.decode()


def lines(output):
    return [json.loads(line) for line in output.splitlines()]


def error(*arguments, cwd, status, **options):
    """The one line that a failing run says."""
    out, err = cli(*arguments, cwd=cwd, status=status, **options)
    assert out == b"" and err.count("\n") == 1 and err.startswith("nested-cli "), (out, err)
    return err


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with two texts, a model trained on the first, and a session of it that has learnt the second."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "fox.txt").write_bytes(TEXT)
    (folder / "zahlen.txt").write_bytes(OTHER)
    cli("train", "fox.txt", "-o", "fox.safetensors", *SMALL, "--steps", "30", "--lr", "1e-2", cwd=folder)
    cli("learn", "fox.safetensors", "zahlen.txt", "-s", "zahlen.safetensors", "--delta", "delta.safetensors", cwd=folder)
    return folder


@pytest.fixture
def work(made, tmp_path):
    """A copy of it to change."""
    return pathlib.Path(shutil.copytree(made, tmp_path / "work"))


# Train

def test_training_lowers_the_loss_and_reports_it(work):
    out, err = cli("train", "fox.txt", "-o", "a.safetensors", *SMALL, "--steps", "20", "--lr", "1e-2", "--every", "5",
                   "--json", cwd=work)
    *steps, saved = lines(out)
    assert err == ""
    assert [step["step"] for step in steps] == [5, 10, 15, 20] and {step["event"] for step in steps} == {"step"}
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert saved["event"] == "saved" and saved["model"] == "a.safetensors" and saved["skipped_steps"] == 0
    assert (work / "a.trainer.safetensors").exists()


def test_resuming_equals_an_uninterrupted_run_to_the_byte(work):
    options = [*SMALL, "--steps", "200", "--seed", "3", "--accumulate", "2"]
    cli("train", "fox.txt", "-o", "whole.safetensors", *options, cwd=work)
    part = subprocess.Popen(
        [PROGRAM, "train", "fox.txt", "-o", "parts.safetensors", *options, "--every", "1"], cwd=work,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    part.stdout.readline()
    part.send_signal(signal.SIGINT)
    _, err = part.communicate(timeout=30)
    assert part.returncode == 130 and b"the same command with --resume goes on" in err
    cli("train", "fox.txt", "-o", "parts.safetensors", *options, "--resume", cwd=work)
    for suffix in (".safetensors", ".trainer.safetensors"):
        assert (work / f"whole{suffix}").read_bytes() == (work / f"parts{suffix}").read_bytes()


def test_threads_do_not_change_a_byte(work):
    for threads in "12":
        cli("train", "fox.txt", "-o", f"t{threads}.safetensors", *SMALL, "--steps", "3", "--threads", threads, cwd=work)
    assert (work / "t1.safetensors").read_bytes() == (work / "t2.safetensors").read_bytes()


def test_checkpoints_survive_a_kill(work):
    process = start("train", "fox.txt", "-o", "k.safetensors", *SMALL, "--steps", "100000", "--checkpoint", "3", cwd=work)
    until(lambda: (work / "k.trainer.safetensors").exists())
    process.kill()
    process.communicate()
    (step,) = [row["steps"] for row in lines(cli("info", "k.trainer.safetensors", "--json", cwd=work)[0])]
    assert step >= 3 and step % 3 == 0
    cli("train", "fox.txt", "-o", "k.safetensors", *SMALL, "--steps", step + 2, "--resume", "--every", "1", cwd=work)


@pytest.mark.parametrize("left, expected", [
    (("new model",), 4), (("new model", "new trainer"), 6), (("new trainer",), 6)])
def test_a_checkpoint_that_was_interrupted_is_finished_or_dropped(work, left, expected):
    """A kill between two of save's four operations."""
    options = ["fox.txt", *SMALL, "--warmup", "1", "--schedule", "warmup"]
    cli("train", *options, "-o", "old.safetensors", "--steps", "4", cwd=work)
    cli("train", *options, "-o", "new.safetensors", "--steps", "6", cwd=work)
    pairs = {"new model": "{}.safetensors", "new trainer": "{}.trainer.safetensors"}
    for name, pattern in pairs.items():
        old, new = work / pattern.format("old"), work / pattern.format("new")
        if name in left:
            new.rename(f"{old}.new")
        elif "new trainer" in left:
            new.rename(old)  # this one was moved already
    out, _ = cli("train", *options, "-o", "old.safetensors", "--steps", "8", "--resume", "--every", "1", "--json", cwd=work)
    assert lines(out)[0]["step"] == expected + 1
    assert not list(work.glob("*.new"))
    cli("train", *options, "-o", "whole.safetensors", "--steps", "8", cwd=work)
    assert (work / "old.safetensors").read_bytes() == (work / "whole.safetensors").read_bytes()


def test_train_takes_optimizers_schedules_and_groups(work):
    schema = json.loads(cli("info", "--schema", cwd=work)[0])
    names = schema["properties"]["cms"]["properties"]["levels"]["items"]["properties"]["optimizer"]["enum"]
    assert f"(values: {', '.join(names)}" in re.sub(r"\s+", " ", cli("train", "--help", cwd=work)[0].decode())
    options = ["fox.txt", "-o", "m3.safetensors", *SMALL, "--optimizer", "m3", "--slow-period", "2", "--slow-weight", "0.5",
               "--schedule", "wsd", "--decay", "1", "--momentum", "0.8", "--group", "blocks.*.cms.*:lr=0.001,weight_decay=0"]
    cli("train", *options, "--steps", "3", cwd=work)
    cli("train", *options, "--steps", "4", "--resume", cwd=work)  # all of it is in the file
    _, err = cli("train", *options, "--steps", "5", "--resume", "--slow-period", "3", cwd=work, status=64)
    assert "period" in err
    _, err = cli("train", *options[:-1], "cms:lr", "--steps", "2", "--force", cwd=work, status=64)
    assert "--group" in err


def test_training_goes_on_from_a_model(work):
    out, _ = cli("train", "fox.txt", "--from", "fox.safetensors", "-o", "fine.safetensors", *SMALL[2:], "--steps", "2",
                 "--every", "1", "--json", cwd=work)
    assert lines(out)[0]["loss"] < 3  # a new model has log(256) = 5.5


def test_a_configuration_comes_from_text_or_a_file(work):
    config = '{"vocab": 256, "d_model": 32, "n_layers": 1}'
    (work / "config.json").write_text(config)
    for name, given in (("a", config), ("b", "config.json")):
        cli("train", "fox.txt", "-o", f"{name}.safetensors", "--config", given, *SMALL[2:], "--steps", "1", cwd=work)
    assert (work / "a.safetensors").read_bytes() == (work / "b.safetensors").read_bytes()
    (info,) = lines(cli("info", "a.safetensors", "--json", cwd=work)[0])
    assert info["d_model"] == 32 and info["config"]["n_layers"] == 1


def test_training_reads_several_texts_and_standard_input(work):
    cli("train", "fox.txt", "zahlen.txt", "-o", "a.safetensors", *SMALL, "--steps", "2", cwd=work)
    cli("train", "fox.txt", "-", "-o", "b.safetensors", *SMALL, "--steps", "2", cwd=work, data=OTHER)
    assert (work / "a.safetensors").read_bytes() == (work / "b.safetensors").read_bytes()


# Learn, score, generate, consolidate

def test_learning_online_lowers_the_surprise(work):
    def learn(mode):
        return lines(cli("learn", "fox.safetensors", "zahlen.txt", "-s", mode, "--learn", mode, "--every", "512", "--json",
                         cwd=work)[0])

    *points, saved = learn("on")
    *fixed, _ = learn("memory")
    assert points[-1]["bits_per_byte"] < min(points[0]["bits_per_byte"], fixed[-1]["bits_per_byte"]) - 0.4
    assert saved["event"] == "saved" and saved["position"] == len(OTHER) == saved["bytes"]
    assert saved["updates"] > 0 and saved["learn"] == "on"


def test_a_session_continues_to_the_byte(work):
    cli("learn", "fox.safetensors", "-s", "parts.safetensors", cwd=work, data=OTHER[:100])
    cli("learn", "fox.safetensors", "-s", "parts.safetensors", cwd=work, data=OTHER[100:777])
    cli("learn", "fox.safetensors", "zahlen.txt", "-s", "parts.safetensors", "--skip", "777", cwd=work)
    assert (work / "parts.safetensors").read_bytes() == (work / "zahlen.safetensors").read_bytes()


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_saves_the_session_and_skip_goes_on(work, number, status):
    process = start("learn", "fox.safetensors", "-s", "cut.safetensors", "--every", "1", "--json", cwd=work,
                    stdin=subprocess.PIPE)
    process.stdin.write(OTHER[:600])
    process.stdin.flush()
    while json.loads(process.stdout.readline())["position"] < 600:
        pass  # then it waits for more
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert "--skip 600 " in err.decode()
    cli("learn", "fox.safetensors", "zahlen.txt", "-s", "cut.safetensors", "--skip", "600", cwd=work)
    assert (work / "cut.safetensors").read_bytes() == (work / "zahlen.safetensors").read_bytes()


def test_what_arrives_is_learnt_when_it_arrives(work):
    process = start("learn", "fox.safetensors", "-s", "live.safetensors", "--every", "1", "--json", cwd=work,
                    stdin=subprocess.PIPE)
    for length in (5, 9):
        process.stdin.write(b"a" * length)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["bytes"] == length
    process.communicate(timeout=30)


def test_learn_off_and_memory_leave_the_levels(work):
    for mode in ("off", "memory"):
        out, _ = cli("learn", "fox.safetensors", "zahlen.txt", "-s", f"{mode}.safetensors", "--learn", mode, "--json",
                     cwd=work)
        assert lines(out)[-1]["updates"] == 0 and lines(out)[-1]["learn"] == mode
    out, _ = cli("learn", "fox.safetensors", "zahlen.txt", "-s", "off.safetensors", "--learn", "on", "--json", cwd=work)
    assert lines(out)[-1]["updates"] > 0


def test_scores(work):
    out, _ = cli("score", "fox.safetensors", "fox.txt", "zahlen.txt", "--json", cwd=work)
    fox, zahlen, both = lines(out)
    assert fox["bits_per_byte"] < zahlen["bits_per_byte"] and both["file"] is None
    assert fox["bytes"] == len(TEXT) and fox["predicted"] == len(TEXT) - 1
    assert fox["perplexity"] == pytest.approx(2 ** fox["bits_per_byte"])
    assert both["nats"] == pytest.approx(fox["nats"] + zahlen["nats"])
    before = (work / "zahlen.safetensors").read_bytes()
    out, _ = cli("score", "fox.safetensors", "zahlen.txt", "-s", "zahlen.safetensors", "--json", cwd=work)
    (taught,) = lines(out)
    assert taught["bits_per_byte"] < zahlen["bits_per_byte"] and taught["predicted"] == len(OTHER)
    assert (work / "zahlen.safetensors").read_bytes() == before
    assert re.fullmatch(rb"[\d.]+ bits per byte  perplexity [\d.]+  1,800 bytes  fox.txt\n",
                        cli("score", "fox.safetensors", "fox.txt", cwd=work)[0])


def test_generating_is_reproducible_and_follows_its_options(work):
    def bytes_of(*options):
        return cli("generate", "fox.safetensors", "-p", "the quick", *options, cwd=work)[0]

    assert len(bytes_of("-n", "50")) == 50
    assert bytes_of("--seed", "1") == bytes_of("--seed", "1") != bytes_of("--seed", "2")
    assert bytes_of("-t", "0") == bytes_of("--top-k", "1", "--seed", "5")
    document = json.loads(bytes_of("--seed", "1", "--json"))
    assert bytes(document["bytes"]) == bytes_of("--seed", "1") and document["finish"] == "length"
    assert document["bits_per_byte"] > 0
    stopped = bytes_of("-t", "0", "--stop", bytes_of("-t", "0")[3:6].decode(), "--stop", "\x01")
    assert stopped == bytes_of("-t", "0")[:6]


def test_generating_from_a_session_leaves_it_unless_told(work):
    before = (work / "zahlen.safetensors").read_bytes()
    options = ["generate", "fox.safetensors", "-s", "zahlen.safetensors", "-n", "20"]
    whole, _ = cli(*options[:-1], "40", cwd=work)
    first, _ = cli(*options, "--save", "later.safetensors", cwd=work)
    second, _ = cli("generate", "fox.safetensors", "-s", "later.safetensors", "-n", "20", cwd=work)
    assert whole == first + second
    assert (work / "zahlen.safetensors").read_bytes() == before
    assert "--force" in error(*options, "--save", "later.safetensors", cwd=work, status=73)


def test_the_prompt_comes_from_a_file_or_standard_input(work):
    (work / "prompt").write_bytes(b"the quick \xff\x00")
    one, _ = cli("generate", "fox.safetensors", "--prompt-file", "prompt", cwd=work)
    two, _ = cli("generate", "fox.safetensors", "--prompt-file", "-", cwd=work, data=b"the quick \xff\x00")
    assert one == two != cli("generate", "fox.safetensors", cwd=work)[0]


def test_consolidation_knows_both(work):
    cli("consolidate", "fox.safetensors", "zahlen.safetensors", "-o", "wiser.safetensors", cwd=work)
    scores = [lines(cli("score", model, "zahlen.txt", "--json", cwd=work)[0])[0]["bits_per_byte"]
              for model in ("fox.safetensors", "wiser.safetensors")]
    assert scores[1] < scores[0] - 0.4
    cli("consolidate", "fox.safetensors", "delta.safetensors", "-o", "same.safetensors", cwd=work)
    assert (work / "same.safetensors").read_bytes() == (work / "wiser.safetensors").read_bytes()
    cli("consolidate", "fox.safetensors", "zahlen.safetensors", "zahlen.safetensors", "-o", "less.safetensors",
        "--weights", "1,0", "--strength", "0.5", "--levels", "0", "--max-norm", "1", cwd=work)
    assert (work / "less.safetensors").read_bytes() != (work / "wiser.safetensors").read_bytes()


# Info, bench

def test_info_of_each_kind_of_file(work):
    names = ["fox.safetensors", "fox.trainer.safetensors", "zahlen.safetensors", "delta.safetensors"]
    rows = lines(cli("info", *names, "--json", cwd=work)[0])
    assert [row["file"] for row in rows] == names
    assert [row["content"] for row in rows] == ["model", "trainer", "session", "delta"]
    assert len({row["fingerprint"] for row in rows}) == 1
    model, trainer, session, delta = rows
    assert model["parameters"] > 50_000 and model["config"]["cms"]["levels"][1]["chunk"] == 1024
    assert trainer["steps"] == 30 and trainer["options"]["lr"] == 0.01
    assert session["position"] == len(OTHER) and session["learn"] == "on" and session["seed"] == 0
    assert delta["bytes"] < session["bytes"]
    (session,) = lines(cli("info", "zahlen.safetensors", "--model", "fox.safetensors", "--json", cwd=work)[0])
    first = session["levels"][0]
    assert (first["layer"], first["level"], first["chunk"]) == (0, 0, 64) and first["delta_norm"] > 0
    assert session["updates"] == sum(level["updates"] for level in session["levels"]) > 0
    text = cli("info", *names, "--model", "fox.safetensors", cwd=work)[0].decode()
    assert all(f"file          {name}" in text for name in names)


def test_info_of_the_library(tmp_path):
    build = json.loads(cli("info", "--json", cwd=tmp_path)[0])
    assert build["version"] == cli("--version", cwd=tmp_path)[0].decode().strip()
    assert "simd" in build and build["simd"].encode() in cli("info", cwd=tmp_path)[0]
    schema = json.loads(cli("info", "--schema", cwd=tmp_path)[0])
    assert "d_model" in schema["properties"]


def test_info_of_presets(tmp_path):
    """What a preset costs, without the memory that it would take; a file of that name comes first."""
    names = ["hope-1m", "titans-340m", "transformer-1.3b", "paper"]
    rows = lines(cli("info", *names, "--length", "256", "--batch", "2", "--json", cwd=tmp_path)[0])
    assert [row["preset"] for row in rows] == names
    for row, millions in zip(rows, (1, 340, 1300)):
        assert abs(row["parameters"] / (1e6 * millions) - 1) < 0.08
        assert row["weights"] == 4 * row["parameters"]
        assert row["training"] == row["weights"] + row["trainer"] + row["activations"]
        assert 2 * row["parameters"] < row["forward"] * 1.2 < row["train"]
        assert row["session"] > 0 and (row["batch"], row["length"]) == (2, 256)
    text = cli("info", "hope-340m", cwd=tmp_path)[0].decode()
    assert re.search(r"^training +10\.\d GB for a step on 512 tokens$", text, re.M), text
    assert "FLOP a token, at this length" in text
    assert "--length is 0" in cli("info", "hope-1m", "--length", "0", cwd=tmp_path, status=64)[1]
    (tmp_path / "hope-1m").write_text("a file")
    assert "not a file of libnested" in error("info", "hope-1m", cwd=tmp_path, status=65)


def test_bench(tmp_path):
    rows = lines(cli("bench", "--preset", "hope-0.1m", "--seconds", "0.01", "--json", cwd=tmp_path)[0])
    assert [row["work"] for row in rows] == ["train", "read", "learn", "generate"]
    assert all(0 < row["lowest"] <= row["tokens_per_second"] <= row["highest"] for row in rows)
    assert b"tokens/s" in cli("bench", "--preset", "hope-0.1m", "--seconds", "0.01", cwd=tmp_path)[0]


# Errors

def test_nothing_is_overwritten_unasked(work):
    before = (work / "fox.safetensors").read_bytes()
    train = ["train", "fox.txt", "-o", "fox.safetensors", *SMALL, "--steps", "1"]
    assert "--force" in error(*train, cwd=work, status=73)
    assert "--force" in error("consolidate", "fox.safetensors", "zahlen.safetensors", "-o", "fox.safetensors", cwd=work,
                              status=73)
    assert "--force" in error("learn", "fox.safetensors", "fox.txt", "-s", "s", "--delta", "delta.safetensors", cwd=work,
                              status=73)
    assert (work / "fox.safetensors").read_bytes() == before and not (work / "s").exists()
    cli(*train, "--force", cwd=work)
    assert (work / "fox.safetensors").read_bytes() != before


@pytest.mark.parametrize("arguments, status, words", [
    (["score", "none.safetensors", "fox.txt"], 66, "none.safetensors: No such file"),
    (["score", "fox.safetensors", "none.txt"], 66, "none.txt: No such file"),
    (["score", "fox.safetensors", "."], 66, "Is a directory"),
    (["score", "fox.safetensors", "fox.txt", "-s", "none"], 66, "none: No such file"),
    (["info", "none"], 66, "No such file"),
    (["info", "fox.txt"], 65, "not a file of libnested"),
    (["score", "fox.txt", "fox.txt"], 65, "fox.txt"),
    (["score", "zahlen.safetensors", "fox.txt"], 65, "expected a model"),
    (["score", "fox.safetensors", "fox.txt", "-s", "fox.safetensors"], 65, "nested-cli info"),
    (["train", "fox.txt", "-o", "no/where.safetensors"], 73, "no/: No such file"),
    (["train", "fox.txt", "-o", "new", "--preset", "none"], 65, "--schema"),
    (["train", "fox.txt", "-o", "new", "--config", '{"d_modell": 3}'], 65, "/d_modell"),
    (["train", "fox.txt", "-o", "new", "--config", '{"d_model": 3'], 65, "at byte"),
    (["train", "fox.txt", "-o", "new", "--config", '{"vocab": 300}'], 65, "256 bytes"),
    (["train", "fox.txt", "-o", "new", "--config", "none.json"], 66, "none.json"),
    (["train", "fox.txt", "-o", "new", "--clip=-1"], 65, "/clip"),
    (["train", "fox.txt", "-o", "new", "--length", "5000"], 64, "1800 bytes"),
    (["train", "fox.txt", "-o", "new", "--lr=-1"], 65, "/lr"),
    (["train", "fox.txt", "-o", "new", "--resume"], 66, "leave --resume out"),
    (["train", "fox.txt", "-o", "fox.safetensors", "--resume", "--lr", "0.5", *SMALL[2:]], 64, "lr 0.01, not 0.5"),
    (["train", "fox.txt", "-o", "fox.safetensors", "--resume", "--preset", "hope-1m"], 64, "another configuration"),
    (["train", "fox.txt", "-o", "fox.safetensors", "--resume", "--batch", "7"], 64, "--batch"),
    (["learn", "fox.safetensors", "fox.txt", "-s", "zahlen.safetensors", "--seed", "1"], 64, "--seed"),
    (["generate", "fox.safetensors", "--top-p", "2"], 64, "top_p"),
    (["generate", "fox.safetensors", "--prompt", ""], 64, "nothing to go on from"),
    (["consolidate", "fox.safetensors", "zahlen.safetensors", "-o", "new", "--levels", "9"], 64, "level"),
    (["bench", "--threads=-1"], 64, "--threads"),
])
def test_errors_are_one_line_that_says_what_to_do(work, arguments, status, words):
    assert words in error(*arguments, cwd=work, status=status)
    assert not (work / "new").exists()


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["train"], ["train", "fox.txt"], ["train", "fox.txt", "-o", "new", "--steps", "0"],
    ["train", "fox.txt", "-o", "new", "--batch", str(2**62)], ["train", "a", "-o", "b", "--accumulate", str(2**62)],
    ["train", "fox.txt", "-o", "new", "--steps", "many"], ["train", "a", "-o", "b", "--preset", "x", "--from", "y"],
    ["train", "a", "-o", "fox.safetensors", "--resume", "--force"], ["learn", "fox.safetensors"],
    ["learn", "fox.safetensors", "-s", "new", "--learn", "maybe"], ["generate", "fox.safetensors", "--no-such-option"],
    ["generate", "m", "-s", "s", "--seed", "1"], ["generate", "m", "-p", "a", "--prompt-file", "b"],
    ["consolidate", "m", "a", "-o", "b", "--weights", "1,2"], ["consolidate", "m", "a", "-o", "b", "--levels", "0,x"],
])
def test_wrong_usage_is_64(work, arguments):
    if not arguments:
        assert b"SUBCOMMANDS" in cli(cwd=work)[0]
        return
    out, err = cli(*arguments, cwd=work, status=64)
    assert out == b"" and err.startswith("Error: ") and "--help" in err


@pytest.mark.parametrize("name", ["fox.safetensors", "fox.trainer.safetensors", "zahlen.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "garbage"])
def test_damaged_files(work, name, damage):
    path = work / name
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[-100] ^= 64
    path.write_bytes({"cut": data[:-9], "empty": b"", "bit": data, "garbage": b"\xff" * 4096}[damage])
    use = {
        "fox.safetensors": ["generate", "fox.safetensors"],
        "fox.trainer.safetensors": ["train", "fox.txt", "-o", "fox.safetensors", *SMALL[2:], "--resume"],
        "zahlen.safetensors": ["learn", "fox.safetensors", "fox.txt", "-s", "zahlen.safetensors"],
    }[name]
    assert name in error(*use, cwd=work, status=65)
    if damage != "bit":
        assert name in error("info", name, cwd=work, status=65)


def test_another_models_session_is_refused(work):
    cli("train", "fox.txt", "-o", "other.safetensors", "--config", '{"vocab": 256, "d_model": 32, "n_layers": 1}', *SMALL[2:],
        "--steps", "1", cwd=work)
    for name in ("zahlen.safetensors", "delta.safetensors"):
        message = error("score", "other.safetensors", "fox.txt", "-s", name, cwd=work, status=65)
        assert name in message and "nested.fingerprint" in message
    cli("train", "fox.txt", "-o", "twin.safetensors", *SMALL, "--steps", "1", "--seed", "9", cwd=work)
    assert "nested.weights" in error("score", "twin.safetensors", "fox.txt", "-s", "delta.safetensors", cwd=work, status=65)


def test_a_full_disk_is_an_error(work):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PROGRAM, "info", "fox.safetensors"], cwd=work, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 74 and b"make room" in done.stderr


# Terminals, pipes, signals

def on_terminal(*arguments, cwd):
    """What a terminal shows of standard output and standard error together."""
    master, slave = pty.openpty()
    process = subprocess.Popen([PROGRAM, *arguments], cwd=cwd, stdin=slave, stdout=slave, stderr=slave,
                               env=dict(os.environ, TERM="xterm"))
    os.close(slave)
    shown = b""
    while select.select([master], [], [], 30)[0]:
        try:
            shown += os.read(master, 65536)
        except OSError:
            break
    os.close(master)
    assert process.wait(timeout=30) == 0, shown
    return shown


def test_progress_is_redrawn_on_a_terminal_and_plain_elsewhere(work):
    train = ["train", "fox.txt", *SMALL, "--steps", "40", "--every", "20"]
    shown = on_terminal(*train, "-o", "a.safetensors", cwd=work)
    assert re.search(rb"\rstep \d+/40  [\d.]+ bits per byte  [\d,]+ tokens/s.*\x1b\[K", shown), shown
    assert b"\x1b" not in on_terminal(*train, "-o", "b.safetensors", "--quiet", cwd=work)
    out, err = cli(*train, "-o", "c.safetensors", cwd=work)
    assert err == "" and out.count(b"\n") == 3 and b"\r" not in out and b"\x1b" not in out
    assert re.match(rb"step 20/40  loss [\d.]+  [\d.]+ bits per byte  [\d,]+ tokens/s\n", out)
    assert cli(*train, "-o", "d.safetensors", "--quiet", cwd=work) == (b"", "")


def test_a_terminal_gets_no_control_characters(work):
    shown = on_terminal("generate", "fox.safetensors", "-n", "400", "-t", "50", cwd=work)
    shown = shown.replace(b"\r\n", b"\n")
    assert len(shown) >= 400 and not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", shown)


def test_a_broken_pipe_saves_and_says_nothing(work):
    process = start("learn", "fox.safetensors", "-s", "pipe.safetensors", "--every", "1", cwd=work, stdin=subprocess.PIPE)
    process.stdin.write(OTHER[:300])
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    try:
        process.stdin.write(OTHER[300:])
        process.stdin.close()
    except BrokenPipeError:
        pass
    assert process.wait(timeout=30) == 141
    assert b"rror" not in process.stderr.read()
    assert lines(cli("info", "pipe.safetensors", "--json", cwd=work)[0])[0]["position"] >= 300
    shell = f"{PROGRAM} generate fox.safetensors -n 100000 | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=work, capture_output=True, timeout=30)
    assert (done.returncode, len(done.stdout), done.stderr) == (141, 10, b"")


def test_a_second_signal_ends_at_once(work):
    process = start("train", "fox.txt", "-o", "s.safetensors", "--preset", "hope-10m", "--batch", "32", "--length", "512",
                    "--steps", "5", cwd=work)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT and time.monotonic() - begin < 1
    assert not (work / "s.safetensors").exists()


def test_signals_that_were_ignored_stay_ignored(work):
    process = start("train", "fox.txt", "-o", "n.safetensors", *SMALL, "--steps", "300", "--every", "1", cwd=work,
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 0


# Help, manual, completions

def test_every_command_has_help_with_examples(tmp_path):
    for command in ([], *([name] for name in COMMANDS)):
        out, err = cli(*command, "--help", cwd=tmp_path)
        assert err == "" and b"EXAMPLES:\n" in out and b"  nested-cli " in out
        assert [line for line in out.decode().splitlines() if len(line) > 80 and not line.startswith("USAGE: ")] == []


def test_the_manual_agrees_with_the_help():
    made = subprocess.run([sys.executable, SOURCES / "manual.py", PROGRAM], capture_output=True, text=True, check=True)
    assert (SOURCES / "nested-cli.1").read_text() == made.stdout, "make manual"
    tool = json.loads(subprocess.check_output([PROGRAM, "--experimental-dump-help"]))["command"]
    parts = re.split(r"^\.S[SH] ", made.stdout, flags=re.M)
    for command in tool["subcommands"]:
        if command["commandName"] in COMMANDS:
            (part,) = [part for part in parts if part.startswith(command["commandName"] + "\n")]
            for argument in command["arguments"]:
                for name in argument.get("names", []):
                    if name["name"] not in ("help", "h", "version"):
                        spelled = ("--" if name["kind"] == "long" else "-") + name["name"]
                        assert spelled.replace("-", "\\-") in part, (command["commandName"], spelled)


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_manual_has_no_warnings():
    done = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou", "-ww", SOURCES / "nested-cli.1"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and "\nEXIT STATUS\n" in done.stdout


def test_the_examples_of_the_help_are_valid_usage(work):
    """Every example of every command parses: what it complains about is never its options."""
    tool = json.loads(subprocess.check_output([PROGRAM, "--experimental-dump-help"]))["command"]
    count = 0
    for command in tool["subcommands"]:
        for example in re.findall(r"^\s+(?:\S.*\| )?(nested-cli (?:.*\\\n)*.*)$", command.get("discussion", ""), re.M):
            shell = f"nested-cli() {{ {PROGRAM} \"$@\" < /dev/null; }}; cd /var/empty 2>/dev/null || cd /; {example}"
            if command["commandName"] == "bench":
                shell = shell.replace("hope-10m", "hope-0.1m") + " --seconds 0.001"
            done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
            assert done.returncode in (0, 65, 66, 73), (example, done)
            count += 1
    assert count >= 20


@pytest.mark.parametrize("shell, path", [
    ("bash", "bash-completion/completions/nested-cli"), ("zsh", "zsh/site-functions/_nested-cli"),
    ("fish", "fish/vendor_completions.d/nested-cli.fish")])
def test_completions_know_every_option(shell, path):
    script = (ROOT / "build" / "share" / path).read_text()
    assert script.encode() == subprocess.check_output([PROGRAM, "--generate-completion-script", shell])
    tool = json.loads(subprocess.check_output([PROGRAM, "--experimental-dump-help"]))["command"]
    for command in tool["subcommands"]:
        for argument in command["arguments"]:
            for name in argument.get("names", []):
                if name["kind"] == "long":
                    assert name["name"] in script
    if shutil.which(shell):
        subprocess.run([shell, "-n", ROOT / "build" / "share" / path], check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_an_option():
    script = ROOT / "build" / "share" / "bash-completion" / "completions" / "nested-cli"
    ask = (f"source {script}; COMP_WORDS=(nested-cli train --ste); COMP_CWORD=2; COMP_LINE='nested-cli train --ste'; "
           "COMP_POINT=${#COMP_LINE}; _nested-cli nested-cli --ste train; printf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True)
    assert done.stdout.split() == ["--steps"], done


def test_the_program_needs_no_swift_runtime():
    needed = subprocess.check_output(["objdump", "-p", PROGRAM], text=True)
    names = set(re.findall(r"NEEDED\s+(\S+)", needed))
    assert "libnested.so.1" in names and not [name for name in names if "wift" in name or "oundation" in name]
    assert re.search(r"RUNPATH\s+(\S*:)?\$ORIGIN/\.\./lib$", needed, re.M)
