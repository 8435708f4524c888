"""Runs every suite, or those named, and prints one line for each.

    python3 Tests/run.py [suite ...]

`make test` prepares what this needs: the library in build/lib, and .build/venv. The output of a suite goes to
.build/test-logs/<suite>.log; the end of it is shown where something failed. The last line says
`N passed, N failed`, and the exit status is 0 where nothing failed.

A C program is one test: it prints `ok N` for N checks that passed, or says what failed, and reports by its exit
status too. pytest and Swift Testing report in their own ways.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIB = ROOT / "build" / "lib"
LOGS = ROOT / ".build" / "test-logs"
# `make test-peers` has an environment of its own
PYTHON = ROOT / ".build" / ("test-peers" if "NESTED_PEERS" in os.environ else "venv") / "bin" / "python"
LIMIT_S = 1200  # for one program
WRAPPED = [
    "getenv", "environ", "stdin", "malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc",
    "malloc_usable_size", "_Znwm", "_ZdlPv", "_ZdlPvm",
]


class Suite:
    """One line of the result: counts, and a log that everything is written to."""

    def __init__(self, name):
        self.name = name
        self.passed = self.failed = self.checks = 0
        self.culprits = []  # lines worth showing before the end of the log
        self.path = LOGS / f"{name}.log"
        self.log = open(self.path, "w", encoding="utf-8", errors="replace")

    def run(self, command, **options):
        """Runs a command to its end, its output into the log; returns (exit status, output)."""
        self.log.write("$ " + " ".join(map(str, command)) + "\n")
        self.log.flush()
        start = self.log.tell()
        environment = dict(os.environ, **options.pop("environment", {}))
        try:
            status = subprocess.run(
                list(map(str, command)), stdout=self.log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, timeout=LIMIT_S, env=environment, **options).returncode
        except subprocess.TimeoutExpired:
            status = "timeout"
        except OSError as error:
            self.log.write(f"{error}\n")
            status = "missing"
        self.log.flush()
        self.log.seek(0, os.SEEK_END)
        with open(self.path, encoding="utf-8", errors="replace") as text:
            text.seek(start)
            output = text.read()
        if status != 0:
            self.log.write(f"exit status: {status}\n")
        return status, output

    def count(self, passed, failed, status):
        """A bad exit status that no counted failure explains is a failure of its own."""
        self.passed += passed
        self.failed += failed or (1 if status != 0 or passed == 0 else 0)

    def program(self, command, **options):
        """A program is one test of many checks."""
        status, output = self.run(command, **options)
        checks = sum(int(n) for n in re.findall(r"^ok (\d+)\b", output, re.M))
        self.checks += checks
        good = status == 0 and checks > 0 and not re.search(r"^not ok\b", output, re.M)
        self.count(int(good), int(not good), status)
        if not good:
            self.culprits.append(f"failed: {pathlib.Path(command[0]).name}")

    def compile(self, command):
        status, _ = self.run(command, cwd=ROOT)
        if status != 0:
            self.failed += 1
            self.culprits.append("did not compile: " + " ".join(map(str, command)))
        return status == 0


def swift(suite):
    """The objects that went into the library, linked with the tests (Package.swift)."""
    status, output = suite.run(
        ["swift", "test", "-c", "release", "--disable-testable-imports", "--disable-xctest"], cwd=ROOT)
    passed = len(re.findall(r"^\S+ Test (?!run with|case ).* passed after ", output, re.M))
    failed = len(re.findall(r"^\S+ Test (?!run with|case ).* failed after ", output, re.M))
    suite.culprits = re.findall(r"^\S+ (Test (?!run with|case ).*) failed after ", output, re.M)
    suite.count(passed, failed, status)


def compilers():
    for c, cpp in (("gcc", "g++"), ("clang", "clang++")):
        if shutil.which(c) and shutil.which(cpp):
            yield c, cpp


def header(suite):
    """nested.h, twice in each of two translation units, in every standard, with every compiler there is."""
    folder = ROOT / "Tests" / "header"
    for c, cpp in compilers():
        for compiler, standards in (
            (c, ("c99", "c11", "c17", "c2x")), (cpp, ("c++11", "c++14", "c++17", "c++20"))):
            language = "c" if compiler == c else "c++"
            for standard in standards:
                with tempfile.TemporaryDirectory() as out:
                    flags = [f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{ROOT}/include"]
                    built = all(suite.compile([
                        compiler, *flags, "-x", language, "-c", folder / f"{unit}.c", "-o", f"{out}/{unit}.o"])
                        for unit in ("one", "two"))
                    if built and suite.compile([
                            compiler, f"{out}/one.o", f"{out}/two.o", f"-L{LIB}", "-lnested", f"-Wl,-rpath,{LIB}",
                            "-o", f"{out}/program"]):
                        suite.program([f"{out}/program"], cwd=out)


def c_programs(suite, folder, compiler, options):
    """Compiles each program of a folder, runs it in a folder of its own."""
    for source in sorted(folder.glob("*.c")):
        with tempfile.TemporaryDirectory() as out:
            program = pathlib.Path(out) / source.stem
            if suite.compile([compiler, "-O1", "-g", "-Wall", "-Wextra", "-Werror", *options(source), "-o", program]):
                suite.program([program], cwd=out, environment={"NESTED_SOURCE": str(ROOT)})


def c(suite):
    """Clients of the library."""
    c_programs(suite, ROOT / "Tests" / "c", "gcc", lambda source: [
        "-std=gnu11", f"-I{ROOT}/include", source, f"-L{LIB}", "-lnested", f"-Wl,-rpath,{LIB}", "-lm", "-lpthread"])


def shims(suite):
    """CNestedShims, compiled and linked as the library does it: with the Swift toolchain's clang."""
    folder = ROOT / "Sources" / "CNestedShims"
    c_programs(suite, ROOT / "Tests" / "shims", "clang", lambda source: [
        "-std=gnu11", "-fno-builtin", f"-I{folder}/include", source, *sorted(folder.glob("*.c")),
        *(f"-Wl,--wrap={name}" for name in WRAPPED), "-lstdc++", "-lm", "-lpthread"])


def examples(suite):
    """Every numbered example must run to its end."""
    with tempfile.TemporaryDirectory() as out:
        for pattern, compiler in (("c/[0-9]*.c", ["gcc", "-std=c11"]), ("cpp/[0-9]*.cpp", ["g++", "-std=c++17"])):
            for source in sorted((ROOT / "examples").glob(pattern)):
                program = pathlib.Path(out) / source.name.replace(".", "_")
                built = suite.compile([
                    *compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{ROOT}/include",
                    f"-I{ROOT}/bindings/c", source, f"-L{LIB}", "-lnested", f"-Wl,-rpath,{LIB}", "-lm", "-lpthread",
                    "-o", program])
                if built:
                    status, _ = suite.run([program], cwd=out)
                    suite.count(int(status == 0), 0, status)
        for source in sorted((ROOT / "examples" / "python").glob("[0-9]*.py")):
            status, _ = suite.run([PYTHON, source], cwd=out)
            suite.count(int(status == 0), 0, status)


def rust(suite):
    """bindings/rust: unit, integration and documentation tests, the numbered examples, and what the linters say."""
    options = {"cwd": ROOT / "bindings" / "rust", "environment": {
        "NESTED_LIB_DIR": str(LIB), "RUST_BACKTRACE": "0", "RUSTDOCFLAGS": "-D warnings"}}
    status, output = suite.run(["cargo", "test", "--offline", "--locked", "--no-fail-fast"], **options)
    counts = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed", output, re.M)
    suite.culprits = re.findall(r"^test (.*) \.\.\. FAILED", output, re.M)
    suite.count(sum(int(passed) for passed, _ in counts), sum(int(failed) for _, failed in counts), status)
    for lint in (["doc", "--no-deps"], ["fmt", "--check"], ["clippy", "--all-targets", "--", "-D", "warnings"]):
        if shutil.which(f"cargo-{lint[0]}") or lint[0] == "doc":
            offline = [] if lint[0] == "fmt" else ["--offline", "--locked"]
            status, _ = suite.run(["cargo", lint[0], *offline, *lint[1:]], **options)
            suite.count(int(status == 0), 0, status)
    with tempfile.TemporaryDirectory() as out:
        for source in sorted((ROOT / "examples" / "rust").glob("[0-9]*.rs")):
            status, _ = suite.run([ROOT / ".build" / "rust" / "debug" / "examples" / source.stem], cwd=out)
            suite.count(int(status == 0), 0, status)


def readme(suite):
    status, output = suite.run([PYTHON, ROOT / "Tests" / "readme" / "run.py"], cwd=ROOT)
    passed = sum(int(n) for n in re.findall(r"^ok (\d+)\b", output, re.M))
    suite.count(passed, len(re.findall(r"^not ok\b", output, re.M)), status)


def pip(suite):
    """What the Python suites import is the installed package, as users have it."""
    status, _ = suite.run([
        PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-build-isolation",
        "--no-deps", "--force-reinstall", ROOT / "bindings" / "python"], cwd=ROOT)
    suite.count(int(status == 0), 0, status)


def pytest(folder):
    def run(suite):
        report = LOGS / f"{suite.name}.xml"
        report.unlink(missing_ok=True)
        status, _ = suite.run([
            PYTHON, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"--junitxml={report}", folder], cwd=ROOT)
        passed = failed = 0
        if report.exists():
            for one in xml.parse(report).iter("testsuite"):
                total, bad = int(one.get("tests")), int(one.get("failures")) + int(one.get("errors"))
                failed += bad
                passed += total - bad - int(one.get("skipped"))
        suite.count(passed, failed, status)
    return run


def suites():
    """In the order that finds the cheap mistakes first."""
    found = {"shims": shims, "header": header}
    if list((ROOT / "Tests" / "c").glob("*.c")):
        found["c"] = c
    folders = {path.parent for path in (ROOT / "Tests").glob("*/test_*.py")}
    for folder in sorted(folders):
        found[folder.name] = pytest(folder)
    found["swift"] = swift
    if (ROOT / "bindings" / "python" / "pyproject.toml").exists():
        found["pip"] = pip
        if (ROOT / "bindings" / "python" / "tests").exists():
            found["python"] = pytest(ROOT / "bindings" / "python" / "tests")
    if (ROOT / "bindings" / "rust" / "Cargo.toml").exists():
        found["rust"] = rust
    if (ROOT / "README.md").exists():
        found["readme"] = readme
    if list((ROOT / "examples").glob("*/[0-9]*")):
        found["examples"] = examples
    return found


def main():
    known = suites()
    wanted = sys.argv[1:] or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.exit(f"no such suite: {', '.join(unknown)}; there are {', '.join(known)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    passed = failed = 0
    for name in wanted:
        suite = Suite(name)
        start = time.monotonic()
        known[name](suite)
        suite.log.close()
        seconds = time.monotonic() - start
        checks = f"  ({suite.checks} checks)" if suite.checks else ""
        print(f"{name:10} {suite.passed:5} passed {suite.failed:3} failed {seconds:7.1f} s{checks}", flush=True)
        if suite.failed:
            tail = suite.path.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
            print("\n".join("    " + line for line in tail + suite.culprits))
            print(f"    (all of it: {suite.path.relative_to(ROOT)})", flush=True)
        passed += suite.passed
        failed += suite.failed
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
