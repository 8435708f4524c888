"""The fuzz targets without a fuzzer: the whole corpus on the library as it ships, then mutations by chance for some seconds."""

import json
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIB = ROOT / "build" / "lib"
TARGETS = sorted(path.name for path in (HERE / "corpus").iterdir())
SECONDS = 2


def replay(folder, source, *arguments):
    """Compiles a target with replay.c, runs it in a folder of its own: (exit status, output)."""
    program = folder / source.stem
    subprocess.run([
        "gcc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include", str(source), str(HERE / "replay.c"),
        f"-L{LIB}", "-lnested", f"-Wl,-rpath,{LIB}", "-lm", "-o", str(program)], check=True)
    result = subprocess.run(
        [str(program), *map(str, arguments)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    return result.returncode, result.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_and_what_chance_makes_of_it(target, tmp_path):
    status, output = replay(tmp_path, HERE / f"{target}.c", f"-seconds={SECONDS}", HERE / "corpus" / target)
    assert status == 0, output
    runs, accepted = map(int, re.fullmatch(r"ok (\d+), (\d+) accepted\n", output).groups())
    assert runs > 0 and accepted > 0


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "api_machine"])
def test_what_the_seeds_are_made_from_is_still_accepted(target, tmp_path):
    """Else the corpus is of another format, and tests nothing but the first check: seeds.py makes it anew."""
    seeds = [path for path in sorted((HERE / "corpus" / target).glob("seed-*")) if "broken" not in path.name]
    status, output = replay(tmp_path, HERE / f"{target}.c", *seeds)
    assert status == 0, output
    runs, accepted = map(int, re.fullmatch(r"ok (\d+), (\d+) accepted\n", output).groups())
    assert runs == len(seeds) and accepted >= len(seeds)


def test_the_machine_calls_every_function():
    text = (HERE / "api_machine.c").read_text() + (HERE / "fuzz.h").read_text()
    functions = json.loads((ROOT / "Tests" / "abi" / "abi.json").read_text())["functions"]
    assert [name for name in functions if not re.search(r"\b%s\(" % name, text)] == []


def test_the_corpus_stays_small():
    assert sum(path.stat().st_size for path in (HERE / "corpus").glob("*/*")) < 1_000_000


def test_a_crash_is_noticed_and_kept(tmp_path):
    target = tmp_path / "planted.c"
    target.write_text(
        "#include <stdint.h>\n#include <stdlib.h>\nunsigned long accepted;\n"
        "int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)\n"
        "{\n    if (size > 2 && data[1] == 'x') abort();\n    return 0;\n}\n")
    for name, text in (("fine", b"abc"), ("fatal", b"axc")):
        (tmp_path / name).write_bytes(text)
    assert replay(tmp_path, target, "fine") == (0, "ok 1, 0 accepted\n")
    status, _ = replay(tmp_path, target, "fine", "fatal")
    assert status != 0 and (tmp_path / "replay-crash").read_bytes() == b"axc"
    (tmp_path / "replay-crash").unlink()
    status, _ = replay(tmp_path, target, "-seconds=20", "fine")  # chance finds it too
    assert status != 0 and (tmp_path / "replay-crash").read_bytes()[1:2] == b"x"
