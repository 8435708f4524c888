"""The header, what is generated from it, the Swift declarations, and the library agree."""

import ctypes
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBRARY = pathlib.Path(os.environ.get("NESTED_LIBRARY", ROOT / "build" / "lib" / "libnested.so.1"))


def run(*command):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_what_is_generated_is_current():
    run(sys.executable, HERE / "generate.py", "--check")


def test_swift_declarations_agree_with_the_header():
    """The compiler writes down the C declarations of the @_cdecl functions."""
    emitted = list((ROOT / ".build").glob("*/release/NestedABI.build/include/NestedABI-Swift.h"))
    assert emitted, "build the library first"
    run(sys.executable, HERE / "generate.py", "--swift", emitted[0])


def test_a_wrong_declaration_is_noticed(tmp_path):
    """The check above is worth something: a changed type, a missing and a surplus function fail it."""
    emitted = next((ROOT / ".build").glob("*/release/NestedABI.build/include/NestedABI-Swift.h")).read_text()
    for what, by in (("uint64_t seed", "uint32_t seed"), ("nested_model_clone(", "nested_model_copy("),
                     ("nested_run const * _Nullable run", "nested_feed const * _Nullable run")):
        assert what in emitted
        changed = tmp_path / "changed.h"
        changed.write_text(emitted.replace(what, by, 1))
        result = subprocess.run(
            [sys.executable, str(HERE / "generate.py"), "--swift", str(changed)], capture_output=True, text=True)
        assert result.returncode == 1, what


def test_the_library_says_what_the_header_says():
    library = ctypes.CDLL(str(LIBRARY))
    library.nested_abi_info.restype = ctypes.c_char_p
    told = json.loads(library.nested_abi_info())
    assert told == json.loads((HERE / "abi.json").read_text())
    for name in told["functions"]:
        assert hasattr(library, name), name


def test_every_function_is_described():
    """The header is the manual: a comment stands before each declaration or the group it belongs to."""
    text = (ROOT / "include" / "nested.h").read_text()
    blocks = re.split(r"\n\s*\n", text)
    told = json.loads((HERE / "abi.json").read_text())
    for name in told["functions"]:
        block = next(b for b in blocks if re.search(r"\b%s\(" % name, b) and "NESTED_API" in b)
        assert "/**" in block or "/*" in block, name


def test_no_argument_makes_a_function_crash():
    for seed in (1, 2):
        assert re.match(r"ok \d+", run(sys.executable, HERE / "machine.py", LIBRARY, 150, seed))


def test_every_parameter_wrong_in_every_way_has_its_status():
    assert re.match(r"ok \d+", run(sys.executable, HERE / "matrix.py", LIBRARY))


@pytest.mark.parametrize("what, by", [
    # a function with a parameter that the tables do not know, a struct that nothing reads, an argument that is refused
    ('{"name": "steps", "type": "int64_t"}', '{"name": "laps", "type": "int64_t"}'),
    ('"nested_feed": {', '"nested_food": {"size": 8, "fields": []}, "nested_feed": {'),
    ('"NESTED_E_LAYOUT": -7', '"NESTED_E_LAYOUT": -77'),
])
def test_the_matrix_fails_where_something_is_not_described(tmp_path, what, by):
    text = (HERE / "abi.json").read_text()
    assert what in text
    (tmp_path / "abi.json").write_text(text.replace(what, by))
    done = subprocess.run(
        [sys.executable, str(HERE / "matrix.py"), str(LIBRARY), str(tmp_path / "abi.json")], capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout.startswith("ok"), done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr


def test_the_tour_of_the_c_programs_calls_every_function():
    """Small stacks, signals, exhausted memory, failing disks and forks are tried on each."""
    steps = re.findall(r"^    (?:CALL|MAKES|FILLS)\((\w+),", (ROOT / "Tests" / "c" / "tour.h").read_text(), re.M)
    assert sorted("nested_" + name for name in steps) == sorted(json.loads((HERE / "abi.json").read_text())["functions"])
