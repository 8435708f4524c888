"""The ctypes declarations agree with the library and with include/nested.h."""

from __future__ import annotations

import ctypes
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import nested
from nested import _library
from nested._library import lib

HEADER = pathlib.Path(__file__).resolve().parents[3] / "include" / "nested.h"
STRUCTS = {name: kind for name, kind in vars(_library).items()
           if name.startswith("nested_") and isinstance(kind, type)
           and issubclass(kind, ctypes.Structure)}
CONSTANTS = {name: value for name, value in vars(_library).items() if name.startswith("NESTED_")}


@pytest.fixture(scope="module")
def info():
    return json.loads(lib.nested_abi_info())


def test_structs_have_the_size_and_offsets_that_the_library_states(info):
    assert STRUCTS
    for name, kind in STRUCTS.items():
        stated = info["structs"][name]
        assert ctypes.sizeof(kind) == stated["size"], name
        fields = _by_name(stated["fields"])
        assert set(fields) == {field[0] for field in kind._fields_}, name
        for field, *_ in kind._fields_:
            member = getattr(kind, field)
            assert member.offset == fields[field]["offset"], f"{name}.{field}"
            assert member.size == fields[field]["size"], f"{name}.{field}"


def test_constants_have_the_values_that_the_library_states(info):
    stated = info["constants"]
    for name, value in CONSTANTS.items():
        assert stated[name] == value, name


def test_every_function_of_the_library_is_declared(info):
    stated = info["functions"]
    names = set(stated) if isinstance(stated, dict) else {f["name"] for f in stated}
    assert names == set(_library.FUNCTIONS)


def _by_name(fields):
    return fields if isinstance(fields, dict) else {field["name"]: field for field in fields}


@pytest.mark.skipif(not HEADER.exists(), reason="the header is not beside the package")
def test_functions_have_the_parameters_of_the_header():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    found = re.findall(
        r"NESTED_API\s+(?:NESTED_CHECK\s+)?([\w\s*]*?)\b(nested_\w+)\(([^)]*)\);", text)
    assert {name for _, name, _ in found} == set(_library.FUNCTIONS)
    for result, name, parameters in found:
        declared_result, *declared = _library.FUNCTIONS[name]
        wanted = [] if parameters.strip() == "void" else parameters.split(",")
        assert len(declared) == len(wanted), name
        assert _kind(declared_result) == _c_kind(result, result=True), name
        for kind, parameter in zip(declared, wanted):
            assert _kind(kind) == _c_kind(parameter), f"{name}: {parameter}"


def _kind(kind):
    """A ctypes type as (pointer?, bytes, struct)."""
    if kind is None:
        return "void"
    if hasattr(kind, "_type_") and isinstance(kind._type_, type) and issubclass(
            kind._type_, ctypes.Structure):
        return f"pointer to {kind._type_.__name__}"
    if kind in (ctypes.c_void_p, ctypes.c_char_p) or not isinstance(
            getattr(kind, "_type_", None), str):
        return "pointer"
    return {"i": "int32", "I": "uint32", "q": "int64", "l": "int64", "Q": "uint64",
            "L": "uint64", "d": "double"}[kind._type_]


def _c_kind(text, result=False):
    words = [w for w in re.findall(r"\w+|\*", text) if w != "const"]
    if not result and words[-1] != "*":
        words = words[:-1]  # the parameter's name
    base, stars = words[0], words.count("*")
    if base in STRUCTS and stars == 1:
        return f"pointer to {base}"
    if stars or base.endswith("_fn"):
        return "pointer"
    return {"nested_status": "int32", "int32_t": "int32", "uint32_t": "uint32",
            "int64_t": "int64", "uint64_t": "uint64", "size_t": "uint64", "double": "double",
            "void": "void"}[base]


@pytest.mark.skipif(not HEADER.exists() or not (shutil.which("cc") or shutil.which("gcc")),
                    reason="needs the header and a C compiler")
def test_structs_have_the_layout_of_the_header(tmp_path):
    lines = ["#include <stdio.h>", "#include <nested.h>", "int main(void) {"]
    for name, kind in STRUCTS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        lines += [f'printf("{name}.{f[0]} %zu\\n", offsetof({name}, {f[0]}));'
                  for f in kind._fields_]
    lines += [f'printf("{name} %d\\n", (int){name});' for name in CONSTANTS]
    source = tmp_path / "layout.c"
    source.write_text("\n".join(lines + ["return 0; }"]))
    compiler = shutil.which("cc") or shutil.which("gcc")
    program = tmp_path / "layout"
    subprocess.run([compiler, "-I", HEADER.parent, source, "-o", program], check=True)
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    stated = dict(line.rsplit(" ", 1) for line in printed.splitlines())
    for name, kind in STRUCTS.items():
        assert int(stated[name]) == ctypes.sizeof(kind)
        for field, *_ in kind._fields_:
            assert int(stated[f"{name}.{field}"]) == getattr(kind, field).offset
    for name, value in CONSTANTS.items():
        assert int(stated[name]) == value


@pytest.mark.skipif(not HEADER.exists(), reason="the header is not beside the package")
def test_version_is_the_headers():
    numbers = re.findall(r"#define NESTED_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", HEADER.read_text())
    assert nested.__version__ == ".".join(numbers)
    assert nested.library_version().split("+")[0] == nested.__version__


def test_environment_names_the_library():
    code = "import nested"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={"NESTED_LIBRARY": "/nowhere/libnested.so", "PYTHONPATH": ":".join(sys.path)})
    assert found.returncode != 0
    assert "/nowhere/libnested.so" in found.stderr and "make" in found.stderr


def test_build_info_names_the_kernels():
    assert nested.build_info()["simd"].startswith("x86-64-v")
