"""The file that ships: what it exports, what it needs, what loading it does, and which instructions it holds."""

import os
import pathlib
import re
import shutil
import statistics
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIB = ROOT / "build" / "lib" / "libnested.so.1"
UNSTRIPPED = ROOT / ".build" / "release" / "libnested.so"
HEADER = ROOT / "include" / "nested.h"
OPENBLAS = os.environ.get(
    "NESTED_OPENBLAS", f"/usr/lib/{os.uname().machine}-linux-gnu/openblas-pthread/libopenblas.a")

NEEDED = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"}
# Ubuntu 22.04, Debian 12. (2.35 is OpenBLAS's hypotf; all else is 2.34.)
CEILING = {"GLIBC": (2, 35), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (7,)}
SIZE_LIMIT = 40 << 20
LOAD_LIMIT_MS = 20


def output(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def header_functions():
    text = re.sub(r"/\*.*?\*/", " ", HEADER.read_text(), flags=re.S)
    return set(re.findall(r"^NESTED_API\b[^;{]*?\b(nested_\w+)\s*\(", text, re.M))


def test_exports_are_the_functions_of_the_header_and_nothing_else():
    exported = [line.split()[-1] for line in output("nm", "-D", "--defined-only", LIB).splitlines()]
    exported = [name for name in exported if not name.startswith("NESTED_1.")]
    assert len(exported) > 1
    assert {name.split("@@")[0] for name in exported} == header_functions()
    assert [name for name in exported if not name.endswith("@@NESTED_1.0")] == []


def test_needed_libraries_are_those_every_machine_has():
    assert set(re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-dW", LIB))) <= NEEDED


def test_soname_and_version_are_those_of_the_header():
    numbers = [re.search(rf"NESTED_VERSION_{part}\s+(\d+)", HEADER.read_text())[1]
               for part in ("MAJOR", "MINOR", "PATCH")]
    assert re.search(r"SONAME.*\[(.*)\]", output("readelf", "-dW", LIB))[1] == f"libnested.so.{numbers[0]}"
    assert LIB.resolve().name == "libnested.so." + ".".join(numbers)
    assert (LIB.parent / "libnested.so").resolve() == LIB.resolve()


def test_dynamic_section_is_clean():
    dynamic = output("readelf", "-dW", LIB)
    assert "NODELETE" in dynamic and "NOW" in dynamic
    assert "TEXTREL" not in dynamic
    assert "STATIC_TLS" not in dynamic
    assert "RPATH" not in dynamic
    paths = re.findall(r"RUNPATH.*\[(.*)\]", dynamic)
    assert paths in ([], ["$ORIGIN"])


def test_no_segment_is_both_writable_and_executable():
    segments = output("readelf", "-lW", LIB)
    assert re.search(r"GNU_STACK.* RW  +0", segments)
    assert "GNU_RELRO" in segments
    assert not re.search(r"^\s+LOAD.* RWE ", segments, re.M)


def test_no_symbol_version_is_newer_than_the_oldest_supported_system():
    names = re.findall(r"Name: (GLIBC|GLIBCXX|CXXABI|GCC)_([0-9.]+)", output("readelf", "-VW", LIB))
    assert names
    for library, version in set(names):
        assert tuple(map(int, version.split("."))) <= CEILING[library], (library, version)


def test_size_is_within_the_budget():
    assert LIB.stat().st_size <= SIZE_LIMIT


def test_no_foundation_and_no_swift_concurrency_inside():
    symbols = output("nm", UNSTRIPPED)
    assert "Foundation" not in symbols
    assert not re.search(r"\bswift_task_create|_dispatch_root_queue", symbols)


# ---- loading ----


@pytest.fixture(scope="session")
def probe(tmp_path_factory):
    program = tmp_path_factory.mktemp("probe") / "load_probe"
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", str(ROOT / "Tests/binary/load_probe.c"), "-ldl", "-lm",
                    "-o", str(program)], check=True)
    return program


ENVIRONMENTS = {
    "empty": {},
    "blas": {"OPENBLAS_NUM_THREADS": "8", "OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_VERBOSE": "5", "OMP_NUM_THREADS": "8"},
    "swift": {"SWIFT_ROOT": "/opt/swift/usr", "SWIFT_BACKTRACE": "enable=yes", "SWIFT_DEBUG_HELP": "YES"},
    "locale": {"LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Kathmandu"},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_loading_changes_nothing_in_the_process_and_prints_nothing(probe, name):
    done = subprocess.run([probe, LIB], env=ENVIRONMENTS[name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "kept after dlclose: yes" and len(lines) == 2, done.stdout


def test_load_to_first_call_is_fast(probe):
    times = [float(re.search(r"ms: (.*)", output(probe, LIB))[1]) for _ in range(15)]
    print(f"dlopen to first call: median {statistics.median(times):.2f} ms")
    assert statistics.median(times) < LOAD_LIMIT_MS


def build(program, *command):
    subprocess.run([*map(str, command), "-o", str(program)], check=True)
    return program


def test_loading_and_unloading_in_every_way(tmp_path):
    program = build(tmp_path / "unload", "gcc", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include",
                    ROOT / "Tests/binary/unload.c", "-ldl", "-lpthread")
    copy = tmp_path / "copy.so"
    shutil.copy(LIB, copy)
    done = subprocess.run([program, LIB, copy], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("ok "), done.stdout + done.stderr


def test_beside_a_swift_program_with_the_dynamic_runtime(tmp_path):
    program = build(tmp_path / "SwiftHost", "swiftc", "-O", "-swift-version", "5", "-parse-as-library",
                    ROOT / "Tests/binary/SwiftHost.swift")
    assert "libswiftCore.so" in output("readelf", "-dW", program)
    done = subprocess.run([program, LIB], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "ok\n", done.stdout + done.stderr


# ---- instructions ----

WIDE = re.compile(r"%zmm|%[xy]mm(?:1[6-9]|2\d|3[01])\b|%k[0-7]\b")
AVX = re.compile(r"%ymm|\tv[a-z]")


def foreign_functions():
    """What OpenBLAS brings: it chooses its kernels by the processor itself."""
    names = set()
    for line in output("nm", "--defined-only", OPENBLAS).splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[1] in "tTwWi":
            names.add(parts[2])
    return names


def functions_of(module):
    """Symbols whose demangled name says so: a mangled name may abbreviate the module."""
    names = [line.split()[-1] for line in output("nm", "--defined-only", UNSTRIPPED).splitlines() if "$s" in line]
    plain = subprocess.run(["swift", "demangle", "--compact"], input="\n".join(names), check=True, capture_output=True,
                           text=True).stdout.splitlines()
    return {name for name, text in zip(names, plain, strict=True) if re.search(rf"\b{module}\b", text)}


def ranges(keep):
    """Address ranges of the functions that `keep` says yes to, neighbours joined."""
    functions = []
    for line in output("nm", "-S", "--defined-only", UNSTRIPPED).splitlines():
        parts = line.split()
        if len(parts) == 4 and parts[2] in "tTwW":
            functions.append((int(parts[0], 16), int(parts[1], 16), parts[3]))
    joined = []
    for start, size, name in sorted(functions):
        if not keep(name):
            joined.append(None)
        elif joined and joined[-1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], start + size))
        else:
            joined.append((start, start + size))
    return [pair for pair in joined if pair]


def instructions(keep):
    """(function, line) for each line of the disassembly of those functions."""
    for start, stop in ranges(keep):
        function = "?"
        code = output("objdump", "-d", "--no-show-raw-insn", f"--start-address={start}", f"--stop-address={stop}", UNSTRIPPED)
        for line in code.splitlines():
            if line.endswith(">:"):
                function = line.split("<")[1][:-2]
            elif keep(function):
                yield function, line


def mentioned_outside_kernels():
    """Every symbol that the object files of the other targets define or use."""
    names = set()
    for folder in (ROOT / ".build" / "release").glob("*Nested*.build"):
        if "NestedKernels" not in folder.name and "Tests" not in folder.name:
            for line in output("nm", *folder.glob("*.o")).splitlines():
                names.add(line.split()[-1] if line.strip() else "")
    return names


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x86-64 levels")
def test_wide_instructions_stand_in_the_kernels_for_their_level_only():
    """Functions that the compiler emits in several objects under one name (specializations, copies of structs) are
    linked once, from the first object: SwiftPM sorts objects by target, so that of level 3 stands before that of
    level 4. They may hold AVX where nothing but kernels knows them. `__swift_memcpy*` alone is shared with the rest: it
    copies structs in unspecialized generics, behind the check of the processor in nested_context_create."""
    foreign = foreign_functions()
    level3, level4 = functions_of("NestedKernels"), functions_of("NestedKernelsV4")
    assert level3 and level4, "the unstripped library has the symbols of its kernels"
    skip = foreign | level4
    wide, avx = set(), set()
    for function, line in instructions(lambda name: name not in skip):
        if WIDE.search(line):
            wide.add(function)
        elif function not in level3 and AVX.search(line):
            avx.add(function)
    assert sorted(wide) == []
    others = mentioned_outside_kernels()
    assert sorted(name for name in avx if name in others and not name.startswith("__swift_memcpy")) == []
