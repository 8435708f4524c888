"""The conformance suite: one scenario, a driver in each language, the same bits from all (README.md).

    pytest Tests/conformance
    python3 Tests/conformance/test_conformance.py --write             renews the committed lines of this machine's class
    python3 Tests/conformance/test_conformance.py --write --emulate   those of x86-64-v3, on any machine, with qemu-user
    python3 Tests/conformance/test_conformance.py --emulate           compares those only (a minute)
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "Tests" / "conformance"
LIB = ROOT / "build" / "lib"
BUILD = ROOT / ".build" / "conformance"
SCENARIO = HERE / "scenario.json"
CLASSES = ("x86-64-v3", "x86-64-v4")
sys.path.insert(0, str(HERE))
import lines  # noqa: E402

THREADS = (1, 2, 3, 8)
FEEDS = (None, 1, 7, 16, 500)
COMPILE = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}"]
HOSTILE = {  # nothing of this may change a result
    "TZ": "Pacific/Kiritimati", "OPENBLAS_NUM_THREADS": "7", "OPENBLAS_CORETYPE": "Nehalem",
    "OPENBLAS_MAIN_FREE": "1", "GOTO_NUM_THREADS": "5", "OMP_NUM_THREADS": "6", "OMP_PROC_BIND": "true", "MKL_NUM_THREADS": "4",
    "MALLOC_PERTURB_": "165", "MALLOC_ARENA_MAX": "1", "LD_BIND_NOW": "1", "NESTED_THREADS": "9", "NESTED_SEED": "1",
}


def run(*command, environment=None, **options):
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
        env=dict(os.environ, **(environment or {})), **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


# How each driver is built and called: (command, environment that it needs to find the library).


def build_c():
    program = BUILD / "driver"
    run(*COMPILE, HERE / "c" / "driver.c", f"-L{LIB}", "-lnested", f"-Wl,-rpath,{LIB}", "-ljansson", "-lm", "-o", program)
    return [program], {}


def build_python():
    return [sys.executable, HERE / "python" / "driver.py"], {
        "PYTHONPATH": str(ROOT / "bindings" / "python"), "NESTED_LIBRARY": str(LIB / "libnested.so.1"), "PYTHONDONTWRITEBYTECODE": "1"}


def build_rust():
    target = ROOT / ".build" / "rust"
    run("cargo", "build", "--quiet", "--offline", "--release", "--package", "nested", "--example", "conformance",
        cwd=ROOT / "bindings" / "rust", environment={"CARGO_TARGET_DIR": str(target), "NESTED_LIB_DIR": str(LIB)})
    return [target / "release" / "examples" / "conformance"], {"LD_LIBRARY_PATH": str(LIB)}


def build_swift():
    version = re.findall(r"define NESTED_VERSION_[A-Z]+ (\d+)", (ROOT / "include" / "nested.h").read_text())
    (BUILD / "nested.pc").write_text(
        f"Name: nested\nDescription: libnested as built\nVersion: {'.'.join(version)}\n"
        f"Libs: -L{LIB} -lnested\nCflags: -I{ROOT / 'include'}\n")
    where = ["--package-path", HERE / "swift", "--scratch-path", ROOT / ".build" / "conformance-swift", "-c", "release"]
    environment = {"PKG_CONFIG_PATH": str(BUILD)}
    run("swift", "build", "--quiet", *where, "--product", "conformance-driver", environment=environment)
    folder = run("swift", "build", *where, "--show-bin-path", environment=environment).stdout.strip()
    return [pathlib.Path(folder) / "conformance-driver"], {"LD_LIBRARY_PATH": str(LIB)}


BUILDERS = {"c": build_c, "python": build_python, "rust": build_rust, "swift": build_swift}
built = {}


def driver(language):
    if language not in built:
        BUILD.mkdir(parents=True, exist_ok=True)
        built[language] = BUILDERS[language]()
    return built[language]


def play(language, threads=1, feed=None, environment=None, bare=False, wrapper=()):
    """The text that a driver prints in an empty folder."""
    command, needed = driver(language)
    options = ["--threads", threads] + (["--feed", feed] if feed else [])
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            list(map(str, [*wrapper, *command, SCENARIO, *options])), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, stdin=subprocess.DEVNULL, env={**({} if bare else os.environ), **needed, **(environment or {})})
    assert done.returncode == 0, f"{language}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert done.stderr == "" or wrapper, f"{language} wrote to stderr:\n{done.stderr[-2000:]}"
    return done.stdout


def remark(text, language):
    """The first line: what the driver says of itself."""
    assert text.startswith(f"# {language}, decimal point "), text[:200]
    return text.splitlines()[0]


def cpu_class(c_text):
    return next(name for name in CLASSES if f'"simd":"{name}"' in remark(c_text, "c"))


def committed(name):
    return (HERE / "expected" / f"{name}.txt").read_text()


def judge(text, wanted):
    """What the job comes to: nothing, or an AssertionError."""
    got = lines.read(text)
    found = lines.differences(got, lines.read(wanted)) + lines.violations(got, json.loads(SCENARIO.read_text()))
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def wanted():
    """The committed lines of the class at hand."""
    return committed(cpu_class(play("c")))


LANGUAGES = pytest.mark.parametrize("language", BUILDERS)


@LANGUAGES
def test_the_committed_bits(language, wanted):
    judge(play(language), wanted)


def test_the_other_class_within_tolerance():
    text = play("c")
    other = committed(next(name for name in CLASSES if name != cpu_class(text)))
    found = lines.differences(lines.read(text), lines.read(other), lines.close)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("threads", THREADS)
def test_threads_and_feed_sizes_change_nothing(threads, wanted):
    for feed in FEEDS:
        judge(play("c", threads, feed), wanted)


@LANGUAGES
def test_threads_and_feed_sizes_in_each_language(language, wanted):
    if language != "c":  # all pairs above
        for threads, feed in ((2, 7), (3, 16), (8, 1)):
            judge(play(language, threads, feed), wanted)


@LANGUAGES
def test_another_locale(language, wanted, tmp_path):
    """With a comma for the decimal point, made by localedef, so that nothing needs to be installed but its sources."""
    made = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8"], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip("no source of the locale de_DE (Debian: locales): " + made.stderr.strip())
    text = play(language, 2, environment={"LOCPATH": str(tmp_path), "LC_ALL": "de_DE.UTF-8"})
    assert "decimal point ," in remark(text, language)
    judge(text, wanted)


@LANGUAGES
def test_another_environment(language, wanted):
    verbose = {} if language == "python" else {"OPENBLAS_VERBOSE": "2"}  # NumPy's own OpenBLAS would print
    judge(play(language, 2, environment=HOSTILE | verbose), wanted)


@LANGUAGES
def test_an_empty_environment(language, wanted):
    judge(play(language, 2, bare=True), wanted)


# The suite itself: with a planted fault the job fails.


@pytest.mark.parametrize("fault, symptom", [("BIT", "line "), ("LEAK", "end: objects were left behind")])
def test_a_planted_fault_fails(fault, symptom, wanted, tmp_path):
    library = tmp_path / "fault.so"
    run(*COMPILE, "-shared", "-fPIC", f"-D{fault}", HERE / "faults" / "fault.c", "-o", library)
    with pytest.raises(AssertionError, match=symptom):
        judge(play("c", environment={"LD_PRELOAD": str(library)}), wanted)


@pytest.mark.parametrize("name, symptom", [
    ("load.weights", "not the same as trained"), ("load.missing", "error None, expected NESTED_E_IO"), ("end", "left behind")])
def test_what_the_scenario_expects_can_be_missed(name, symptom, wanted):
    left_out = [line for line in lines.read(wanted) if line[0] != name]
    assert symptom in "".join(lines.violations(left_out, json.loads(SCENARIO.read_text())))


def test_the_tolerance_has_an_end(wanted):
    """Each float, moved by a thousandth and a bit, is out of tolerance."""
    for name, field, values in lines.read(wanted):
        for at, value in enumerate(values):
            if lines.is_float(value) and not (len(values) == 4 and values[1][0] == "#" and at == 2):  # sums: by magnitudes
                moved = [*values]
                moved[at] = lines.bits(lines.number(value) * 1.001 + 1e-4)
                assert not lines.close(field, moved, values), (name, field, at)


def test_every_kind_of_step_is_played():
    table = (HERE / "README.md").read_text().split("| step | arguments |")[1].split("\n\n")[0]
    kinds = {row.split("`")[1] for row in table.splitlines() if row.startswith("| `")}
    assert {step["step"] for step in json.loads(SCENARIO.read_text())["steps"]} == kinds


def main():
    emulate = "--emulate" in sys.argv
    if emulate and not shutil.which("qemu-x86_64"):
        sys.exit("qemu-x86_64 is not there (Debian: qemu-user)")
    text = play("c", wrapper=["qemu-x86_64", "-cpu", "Haswell"] if emulate else [])
    name = cpu_class(text)
    if "--write" in sys.argv:
        body = "".join(line + "\n" for line in text.splitlines() if line[0] != "#")
        found = lines.violations(lines.read(body), json.loads(SCENARIO.read_text()))
        if found:
            sys.exit("\n".join(found))
        (HERE / "expected" / f"{name}.txt").write_text(body)
    judge(text, committed(name))
    print(f"{name}: as committed")


if __name__ == "__main__":
    main()
