"""The interface only grows: abidiff compares a witness of the header with one of the last release (to_witness.py)."""

import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
HEADER = HERE.parents[1] / "include" / "nested.h"

ADDITIONS = {
    "a function": (r"^NESTED_API uint32_t +nested_abi\(void\);", r"\g<0> NESTED_API int32_t nested_new(int32_t a);"),
    "a field at the end": (r"^    void +\*user; +/\*\*< passed to progress.*", r"\g<0>\n    int32_t added;"),
    "a constant": (r"NESTED_E_POISONED += -26", r"NESTED_E_NEW = -27, \g<0>"),
}
BREAKS = {
    "a field's type": (r"uint32_t( +interval_ms;)", r"float\1"),
    "a field that gets shorter": (r"double( +elapsed_s;)", r"float\1"),
    "a field that changes its sign": (r"uint64_t( +state_bytes;)", r"int64_t\1"),
    "a field in front of another": (r"^    void +\*user; +/\*\*< passed to progress.*", r"    int32_t added;\n\g<0>"),
    "a field of a FROZEN struct": (r"^    int64_t strides\[NESTED_MAX_DIMS\];", r"\g<0> int32_t added;"),
    "a field less": (r"^    double +loss; +/\*\*< running loss.*", ""),
    "a value": (r"NESTED_E_SHAPE += +-5", "NESTED_E_SHAPE = -50"),
    "a constant less": (r"NESTED_E_LAYOUT += +-7,", ""),
    "a macro": (r"NESTED_MAX_DIMS 6", "NESTED_MAX_DIMS 7"),
    "a parameter less": (r"uint64_t seed, (nested_model \*\*out)", r"\1"),
    "a parameter's type": (r"(nested_session_set_learn\(nested_session \*session, )int32_t", r"\1int64_t"),
    "a result's type": (r"NESTED_API size_t( +nested_blob_size)", r"NESTED_API uint32_t\1"),
    "a callback's parameter": (r"(nested_allreduce_fn\)\(void \*user, void \*data, )size_t", r"\1int32_t"),
    "a function less": (r"^nested_model_clone\([^;]*;", "nested_model_copy(void);"),
}


def differences(header, folder):
    """abidiff's exit status and words; 0 when nothing but additions has happened since the baseline."""
    libraries = []
    for name, path in (("old", HERE / "baseline.h"), ("new", header)):
        libraries.append(folder / f"{name}.so")
        subprocess.run([sys.executable, str(HERE / "to_witness.py"), str(path), str(libraries[-1])], check=True)
    result = subprocess.run(
        ["abidiff", "--no-added-syms", *map(str, libraries)], capture_output=True, text=True, timeout=300)
    assert result.returncode & 3 == 0, result.stdout + result.stderr  # it did its work
    return result.returncode, result.stdout


def changed(change, folder):
    what, by = change
    text, count = re.subn(what, by, HEADER.read_text(), count=1, flags=re.M)
    assert count == 1, what
    path = folder / "changed.h"
    path.write_text(text)
    return differences(path, folder)


def test_nothing_but_additions_since_the_last_release(tmp_path):
    status, output = differences(HEADER, tmp_path)
    assert status == 0, output


@pytest.mark.parametrize("name", ADDITIONS)
def test_an_addition_passes(name, tmp_path):
    status, output = changed(ADDITIONS[name], tmp_path)
    assert status == 0, output


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_fails(name, tmp_path):
    status, _ = changed(BREAKS[name], tmp_path)
    assert status != 0
