#!/usr/bin/env python3
"""Runs the C programs under a tool that sees what a test does not: `make asan`, `make tsan`, `make valgrind`.

    run.py asan|tsan|valgrind [program ...]

asan: AddressSanitizer, LeakSanitizer, and UndefinedBehaviorSanitizer for the C in the library; tsan: ThreadSanitizer. Both build an
instrumented library in .build/<job>, which `make fuzz` uses too. valgrind: memcheck, on the library in build/lib. Programs are those of
Tests/c, the conformance driver, and the planted ones, which must be reported. Exit status 0 when nothing else was.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
LIMIT_S = 1200

ALL = ("asan", "tsan", "valgrind")
SKIPPED = {  # program: {job: why}
    "nomemory": dict.fromkeys(ALL, "puts its own allocator before libc's, as the tools do"),
    "disk": dict.fromkeys(ALL, "puts its own system calls before libc's, as the tools do"),
    "exits": dict.fromkeys(ALL, "leaves everything behind on purpose, with threads at work"),
    "cycles": dict.fromkeys(ALL, "measures resident memory, most of which is the tool's"),
    "exhausted": dict.fromkeys(ALL, "limits the address space, most of which is the tool's"),
    "releases": {"valgrind": "gives itself two minutes, and valgrind runs one thread at a time"},
    "stacks": dict.fromkeys(("asan", "tsan"), "gives calls 128 KiB of stack, and instrumented frames need more"),
    "forks": {"tsan": "starts threads in children of a process with threads, where ThreadSanitizer hangs"},
}
PLANTED = {"asan": "leak", "tsan": "race", "valgrind": "leak"}
# In children that _exit(), what the parent made is lost on purpose: its threads do not exist there (R11).
VALGRIND = {"forks": ["--leak-check=no"], "leak": ["--soname-synonyms=somalloc=nouserintercepts"]}
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:die_after_fork=0",
    "NESTED_SOURCE": str(ROOT),
}


def run(command, **options):
    return subprocess.run(list(map(str, command)), check=True, **options)


def link_options():
    """What the compiler's ThreadSanitizer wants of libdispatch, which no program here uses."""
    folder = subprocess.run(["clang", "-print-resource-dir"], check=True, capture_output=True, text=True).stdout.strip()
    archive = next(pathlib.Path(folder).glob("lib/linux/libclang_rt.tsan-x86_64.a"))
    names = subprocess.run(["nm", "-u", archive], capture_output=True, text=True).stdout
    wanted = sorted(set(re.findall(r"\b_*(?:dispatch|Block|NSConcrete)\w*", names)))
    return [f"-Wl,--defsym={name}=0" for name in wanted]


def library(job):
    """Builds the instrumented library; returns its folder."""
    if job == "valgrind":
        return ROOT / "build" / "lib"
    scratch = ROOT / ".build" / job
    linked = scratch / "release" / "libnested.so"
    link = ["-z", "undefs"]  # the tool's functions are in the program
    if job == "asan":  # coverage for libFuzzer costs the other programs little
        flags = ["--sanitize=address", "-Xswiftc", "-sanitize=fuzzer,address", "-Xcc", "-fsanitize=address,undefined,fuzzer-no-link"]
    else:
        flags = ["--sanitize=thread"]
        source = HERE / "swift_runtime.c"
        scratch.mkdir(parents=True, exist_ok=True)
        helper = scratch / "swift_runtime.o"
        if not helper.exists() or helper.stat().st_mtime < source.stat().st_mtime:
            run(["clang", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-c", source, "-o", helper])
            linked.unlink(missing_ok=True)  # SwiftPM does not know of it
        wrapped = sorted(set(re.findall(r"__real_(\w+)", source.read_text())))
        link += [*(f"--wrap={name}" for name in wrapped), helper]
    options = [word for option in link for word in ("-Xlinker", str(option))]
    log = scratch.with_suffix(".log")
    with open(log, "w") as out:
        try:
            run(["swift", "build", "-c", "release", "--product", "nested", "--scratch-path", scratch, *flags, *options], cwd=ROOT,
                stdout=out, stderr=subprocess.STDOUT)
        except subprocess.CalledProcessError:
            sys.exit(log.read_text() + "\nthe instrumented library does not build")
    soname = linked.with_name("libnested.so.1")
    if not soname.exists():
        soname.symlink_to(linked.name)
    return linked.parent


def compiled(job, source, folder, out):
    """The program of a source, linked with the library."""
    if job == "valgrind":
        command = ["gcc"]
    else:
        command = ["clang", "-fuse-ld=lld", "-fsanitize=" + ("address,undefined" if job == "asan" else "thread")]
        command += link_options() if job == "tsan" else []
    program = out / source.stem
    run([*command, "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include", source, f"-L{folder}", "-lnested",
         f"-Wl,-rpath,{folder}", "-ljansson", "-lm", "-lpthread", "-o", program])
    return program


def command(job, program, arguments):
    if job != "valgrind":
        return [program, *arguments]
    return ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect", "--fair-sched=yes", *VALGRIND.get(program.stem, []), program, *arguments]


def reported(job, source, folder, arguments=()):
    """What the tool said, or what the program did wrong; empty when nothing."""
    with tempfile.TemporaryDirectory() as name:
        out = pathlib.Path(name)
        program = compiled(job, source, folder, out)
        try:
            result = subprocess.run(
                list(map(str, command(job, program, arguments))), cwd=out, capture_output=True, text=True, errors="replace",
                timeout=LIMIT_S, env={**os.environ, **ENVIRONMENT})
        except subprocess.TimeoutExpired:
            return f"no end after {LIMIT_S} s"
        return "" if result.returncode == 0 and not result.stderr else (
            f"exit status {result.returncode}\n{result.stderr[:8000]}{result.stdout[-500:]}")


def programs(job):
    """name: (source, arguments)"""
    found = {path.stem: (path, ()) for path in sorted((ROOT / "Tests" / "c").glob("*.c"))}
    driver = ROOT / "Tests" / "conformance" / "c" / "driver.c"
    if driver.exists():
        found["conformance"] = (driver, (driver.parents[1] / "scenario.json", "--threads", "3"))
    planted = HERE / "planted" / f"{PLANTED[job]}.c"
    found[planted.stem] = (planted, ())
    found[planted.stem + "-none"] = (planted, ("none",))
    return found


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in PLANTED:
        sys.exit(__doc__)
    job = sys.argv[1]
    known = programs(job)
    wanted = sys.argv[2:] or list(known)
    if not known.keys() >= set(wanted):
        sys.exit(f"programs are {', '.join(known)}")
    folder = library(job)
    failed = 0
    for name in wanted:
        if job in SKIPPED.get(name, {}):
            print(f"{name:14} skipped: it {SKIPPED[name][job]}", flush=True)
            continue
        start = time.monotonic()
        words = reported(job, known[name][0], folder, known[name][1])
        must = name == PLANTED[job]
        what = {(False, False): "clean", (False, True): "REPORTED", (True, True): "reported, as it must be",
                (True, False): "NOT REPORTED"}[must, bool(words)]
        failed += must != bool(words)
        print(f"{name:14} {what} ({time.monotonic() - start:.0f} s)", flush=True)
        if words and not must:
            print(words)
    print(f"{len(wanted) - failed} of {len(wanted)} as they should be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
