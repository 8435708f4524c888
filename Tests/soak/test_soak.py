"""A short slice of the long runs: every kind, everything finite, and every case in the table."""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("NESTED_LIBRARY", str(ROOT / "build" / "lib" / "libnested.so.1"))
sys.path[:0] = [str(ROOT / "bindings" / "python"), str(pathlib.Path(__file__).parent)]

import soak  # noqa: E402

TEXT = (ROOT / "LICENSE").read_bytes() * 3
# The equations to the letter: they diverge on some texts, and the top README says so.
LITERAL = "hope, preset paper"


@pytest.mark.parametrize("name", [name for name in soak.cases() if name != LITERAL])
def test_a_short_run_stays_finite(name):
    result = soak.run(soak.cases()[name], 0, TEXT, steps=60, stream=4000)
    assert result["nan"] == result["skipped"] == result["dropped"] == 0
    assert result["trained"] < result["highest"] < 6
    assert (result["updates"] > 0) == (result["learn"] == "on")


def test_the_table_is_that_of_the_results():
    page = (soak.FOLDER / "README.md").read_text()
    assert soak.table(soak.load()) in page

