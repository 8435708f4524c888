"""What editors and type checkers are told is true: options, annotations, py.typed."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys
import typing

import pytest

import nested

PACKAGE = pathlib.Path(nested.__file__).parent
EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "examples" / "python"
SIMPLE = {"integer": int, "number": float, "string": str, "boolean": bool}


def assert_same(declared, schema, place=""):
    """A TypedDict, or the type of one of its keys, is what a JSON schema says."""
    if schema.get("type") == "object":
        keys = typing.get_type_hints(declared)
        assert not declared.__total__ and set(keys) == set(schema["properties"]), place
        for key, kind in keys.items():
            assert_same(kind, schema["properties"][key], f"{place}/{key}")
    elif "enum" in schema:
        assert set(typing.get_args(declared)) == set(schema["enum"]), place
    elif schema["type"] == "array":
        assert_same(*typing.get_args(declared), schema["items"], place + "/-")
    else:
        assert declared is SIMPLE[schema["type"]], place


@pytest.mark.parametrize("declared, schema", [
    (nested.ModelConfig, nested.config_schema()), (nested.TrainerOptions, nested.trainer_schema())])
def test_options_are_those_of_the_schema(declared, schema):
    assert_same(declared, schema)


def test_a_wrong_option_would_be_seen():
    schema = nested.trainer_schema()
    schema["properties"]["lr"]["type"] = "integer"
    with pytest.raises(AssertionError, match="/lr"):
        assert_same(nested.TrainerOptions, schema)


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


def mypy(folder, *paths):
    installed = "site-packages" in PACKAGE.parts
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder, *map(str, paths)],
        capture_output=True, text=True, cwd=folder,
        env={**os.environ, "MYPYPATH": "" if installed else str(PACKAGE.parent)})


USER = '''
import numpy as np
import nested

model = nested.Model({"preset": "hope-1m", "cms": {"levels": [{"chunk": 16}]}})
trainer = nested.Trainer(model, lr=1e-3, optimizer="sgd", schedule={"type": "constant"})
session = model.session(learn="on")
reveal_type(session.learn)
reveal_type(session.feed(b"abc"))
reveal_type(session.finish)
with nested.load("model.safetensors") as again:
    reveal_type(again.tensors["norm.weight"])
reveal_type(nested.consolidate(model, [session]))
'''
WRONG = '''
import nested

model = nested.Model(3)
nested.Trainer(model, learning_rate=1)
nested.Trainer(model, optimizer="lion")
model.session(learn="yes")
model.sesion()
'''


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")
def test_mypy_strict(tmp_path):
    """The package, the examples, and a user who gets told of mistakes."""
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "wrong.py").write_text(WRONG)
    done = mypy(tmp_path, "-p", "nested")
    assert done.returncode == 0, done.stdout + done.stderr
    examples = sorted(EXAMPLES.glob("0*.py"))
    if examples:
        done = mypy(tmp_path, *examples)
        assert done.returncode == 0, done.stdout + done.stderr
    told = mypy(tmp_path, "user.py", "wrong.py").stdout
    for revealed in ("Literal['off']", "Literal['length']", "nested._model.Model", "ndarray"):
        assert revealed in told, told
    errors = [line.split(":")[:2] for line in told.splitlines() if ": error:" in line]
    assert errors == [["wrong.py", str(line)] for line in (4, 5, 6, 7, 8)], told
