"""The ctypes declarations are those of include/nested.h: names, types, layouts, values."""

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
CALLBACKS = {name: kind for name, kind in vars(_library).items() if name.endswith("_fn")}
CONSTANTS = {name: value for name, value in vars(_library).items() if name.startswith("NESTED_")}
# Macros for C, and the version, which the library is asked for.
C_ONLY = {"NESTED_VERSION", "NESTED_VERSION_MAJOR", "NESTED_VERSION_MINOR", "NESTED_VERSION_PATCH"}
SCALARS = {
    "void": None, "int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64, "size_t": ctypes.c_size_t, "double": ctypes.c_double,
    "nested_status": ctypes.c_int32,
}


@pytest.fixture(scope="module")
def info():
    """What clang read in the header: Tests/abi/abi.json, which the library carries."""
    return json.loads(lib.nested_abi_info())


def accepts(declared, c_type):
    """Whether a ctypes declaration is one of a C type, pointers and signs included."""
    bare = " ".join(c_type.replace("*", " * ").split()).replace("const ", "")
    base, *stars = bare.split()
    stars = "".join(stars).replace("const", "")
    if base.endswith("]"):
        base, size = base[:-1].split("[")
        return declared._type_ is SCALARS[base] and declared._length_ == int(size)
    if stars.startswith("["):
        return declared._type_ is SCALARS[base] and declared._length_ == int(stars[1:-1])
    if base in CALLBACKS:
        return declared is CALLBACKS[base]
    if not stars:
        return declared is SCALARS[base]
    if base == "char":
        return declared is ctypes.c_char_p
    if base in STRUCTS:
        return declared is ctypes.POINTER(STRUCTS[base])
    if base in SCALARS and SCALARS[base] is not None and stars == "*":  # one value, or an array
        return declared in (ctypes.c_void_p, ctypes.POINTER(SCALARS[base]))
    if stars == "**" and base.startswith("nested_"):
        return declared is ctypes.POINTER(ctypes.c_void_p)
    return declared is ctypes.c_void_p


@pytest.mark.parametrize("declared, c_type", [
    (ctypes.c_int32, "uint32_t"), (ctypes.c_void_p, "const char *"),
    (ctypes.c_int64 * 5, "int64_t[6]"),
    (ctypes.c_void_p, "nested_error *"), (ctypes.c_void_p, "const nested_model **"),
    (ctypes.c_void_p, "nested_log_fn"), (ctypes.POINTER(ctypes.c_int32), "int64_t *"),
    (ctypes.c_size_t, "int64_t"), (ctypes.c_double, "size_t")])
def test_the_comparison_sees_a_wrong_declaration(declared, c_type):
    assert not accepts(declared, c_type)


def test_structs_are_the_headers_field_by_field(info):
    assert set(STRUCTS) == set(info["structs"])
    for name, kind in STRUCTS.items():
        stated = info["structs"][name]
        assert ctypes.sizeof(kind) == stated["size"], name
        assert [field[0] for field in kind._fields_] == [f["name"] for f in stated["fields"]], name
        for (field, declared), f in zip(kind._fields_, stated["fields"]):
            member = getattr(kind, field)
            assert (member.offset, member.size) == (f["offset"], f["size"]), f"{name}.{field}"
            assert accepts(declared, f["type"]), f"{name}.{field}: {f['type']}"
        # Those that C extends stamp their own size, the frozen ones have none.
        extensible = stated["fields"][0]["name"] == "struct_size"
        assert issubclass(kind, _library.Sized) == extensible, name
        assert not extensible or kind().struct_size == stated["size"], name


def test_constants_are_the_headers(info):
    assert {**CONSTANTS} == {
        name: value for name, value in info["constants"].items() if name not in C_ONLY}


def test_callbacks_are_the_headers(info):
    assert set(CALLBACKS) == set(info["callbacks"])
    for name, text in info["callbacks"].items():
        result, parameters = re.fullmatch(r"(\w+) \(\*\)\((.*)\)", text).groups()
        kind = CALLBACKS[name]
        assert accepts(kind._restype_, result), name
        wanted = parameters.split(", ")
        assert len(kind._argtypes_) == len(wanted), name
        for declared, c_type in zip(kind._argtypes_, wanted):
            assert accepts(declared, c_type), f"{name}: {c_type}"


def test_functions_are_the_headers_and_none_is_left_out(info):
    assert set(_library.FUNCTIONS) == set(info["functions"])
    for name, stated in info["functions"].items():
        result, *parameters = _library.FUNCTIONS[name]
        assert accepts(result, stated["result"]), name
        assert len(parameters) == len(stated["parameters"]), name
        for declared, parameter in zip(parameters, stated["parameters"]):
            assert accepts(declared, parameter["type"]), f"{name}: {parameter}"


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
