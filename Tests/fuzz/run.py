#!/usr/bin/env python3
"""Fuzzing with libFuzzer on the instrumented library (.build/asan): `make fuzz [TIME=seconds] [TARGET=name]`.

    run.py fuzz [seconds [target ...]]   each target for so long (60); what it found is kept in .build/fuzz/<target>
    run.py merge [target ...]            adds to corpus/<target> what covers more of the library, smallest files first
    run.py TARGET file ...               runs a target on files, with what the sanitizers say

A crash ends the run with status 1 and names the file that made it. Make it small with `run.py TARGET -minimize_crash=1 -runs=20000
file`, and keep it as corpus/<target>/regress-<what>.
"""
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / ".build" / "fuzz"
TARGETS = ["config_json", "trainer_json", "model_file", "session_file", "trainer_file", "checkpoint", "api_machine"]
sys.path.insert(0, str(HERE.parent / "sanitize"))
import run as sanitize  # noqa: E402


def fuzzer(target, folder):
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / f"{target}.fuzzer"
    sanitize.run([
        "clang", "-fuse-ld=lld", "-fsanitize=fuzzer,address,undefined", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror",
        f"-I{ROOT}/include", HERE / f"{target}.c", f"-L{folder}", "-lnested", f"-Wl,-rpath,{folder}", "-lm", "-o", program])
    return program


def options(target):
    chosen = ["-timeout=20", "-rss_limit_mb=4096", f"-artifact_prefix={BUILD}/{target}-"]
    if target == "api_machine":
        return [*chosen, "-max_len=1024"]
    return [*chosen, "-max_len=20000", f"-dict={HERE / 'json.dict'}"]


def call(program, target, *arguments):
    return subprocess.run(list(map(str, [program, *options(target), *arguments])), cwd=BUILD)


def main():
    known = {"fuzz", "merge", *TARGETS}
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        sys.exit(__doc__)
    what, rest = sys.argv[1], sys.argv[2:]
    folder = sanitize.library("asan")
    if what in TARGETS:
        paths = [word if word.startswith("-") else pathlib.Path(word).resolve() for word in rest]
        return call(fuzzer(what, folder), what, *paths).returncode
    seconds = rest.pop(0) if what == "fuzz" and rest else "60"
    bad = []
    for target in rest or TARGETS:
        program, kept, found = fuzzer(target, folder), HERE / "corpus" / target, BUILD / target
        found.mkdir(exist_ok=True)
        if what == "fuzz":
            print(f"---- {target}, {seconds} s", flush=True)
            result = call(program, target, f"-max_total_time={seconds}", "-print_final_stats=1", found, kept)
        else:
            result = call(program, target, "-set_cover_merge=1", "-use_counters=0", kept, found)
        if result.returncode != 0:
            bad.append(target)
    if bad:
        print(f"found something: {', '.join(bad)}; the inputs are in {BUILD.relative_to(ROOT)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
