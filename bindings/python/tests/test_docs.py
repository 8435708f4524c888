"""Every public name is documented in NumPy's style, and every example in the documents runs."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import pathlib
import re

import numpy as np
import pytest

import nested

SECTIONS = ["Parameters", "Attributes", "Returns", "Raises", "Notes", "Examples"]
TEXT = b"to be or not to be, that is the question: " * 22


def is_plain(kind):
    """Errors and TypedDicts: nothing to call."""
    return issubclass(kind, Exception) or hasattr(kind, "__total__")


def public():
    """(name, object) of what users call; attributes of results are documented beside them."""
    for name in nested.__all__:
        one = getattr(nested, name)
        if inspect.isclass(one):
            yield name, one
            if is_plain(one):
                continue
            for base in reversed(one.__mro__):
                if base.__module__.startswith("nested"):
                    for key, member in vars(base).items():
                        member = getattr(member, "__func__", member)  # of a class method
                        if not key.startswith("_") and (
                                callable(member) or isinstance(member, property)):
                            yield f"{name}.{key}", member
        elif inspect.isfunction(one):
            yield name, one


def complaints(name, one):
    """What NumPy's style asks for and a docstring lacks."""
    text = inspect.getdoc(one) or ""
    summary, _, rest = text.partition("\n")
    if not re.match(r"[A-Z`].*\.$", summary) or len(summary) > 95:
        yield f"the first line is no sentence: {summary!r}"
    if rest and not rest.startswith("\n"):
        yield "no empty line after the first"
    found = re.findall(r"^(\w[\w ]*)\n-+$", text, re.M)
    if found != [section for section in SECTIONS if section in found]:
        yield f"sections {found}"
    bodies = dict(zip(found, re.split(r"^\w[\w ]*\n-+$", text, flags=re.M)[1:]))
    if isinstance(one, property) or inspect.isclass(one) and (
            is_plain(one) or dataclasses.is_dataclass(one)):
        return
    if inspect.isclass(one):
        if "Examples" not in bodies:
            yield "no example"
        function = one.__init__
    else:
        function = one
    signature = inspect.signature(function)
    kinds = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    wanted = [("**" if p.kind is p.VAR_KEYWORD else "") + p.name for p in kinds]
    if function is object.__init__ or one is nested.Tensors:
        wanted = []  # users do not make one themselves
    body = bodies.get("Parameters", "")
    stated = [word for line in re.findall(r"^(\S.*?)(?: : .*)?$", body, re.M)
              for word in line.split(", ")]
    if stated != wanted:
        yield f"parameters {wanted}, documented are {stated}"
    for line in re.findall(r"^\S.*$", body, re.M):
        if not line.startswith("**") and " : " not in line:
            yield f"a parameter without a type: {line}"
    result = signature.return_annotation
    if not inspect.isclass(one) and result not in ("None", None) and "Returns" not in bodies:
        yield f"returns {result}, but does not say so"
    if result in ("None", None) and "Returns" in bodies:
        yield "returns nothing, but says so"


def test_every_public_name_is_documented():
    found = [f"{name}: {said}" for name, one in public() for said in complaints(name, one)]
    assert not found, "\n".join(found)
    names = {name for name, _ in public()}
    assert {"Session.feed", "Model.from_bytes", "Tensors.info", "Session.close"} <= names


def test_every_field_of_a_result_is_documented():
    sources = "".join(path.read_text() for path in pathlib.Path(nested.__file__).parent.glob("*.py"))
    for name in nested.__all__:
        kind = getattr(nested, name)
        if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
            source = re.search(rf"^class {name}:\n.*?\n\n\n", sources, re.M | re.S)[0]
            for field in dataclasses.fields(kind):
                documented = rf'\n    {field.name}: .*\n    """.+\.'
                assert re.search(documented, source), f"{name}.{field.name}"


def test_a_poor_docstring_is_seen():
    def poor(a, b=1):
        """does things

        Parameters
        ----------
        a : int
            First.
        """
        return a + b
    found = " ".join(complaints("poor", poor))
    assert "no sentence" in found and "['a', 'b']" in found
    assert not list(complaints("Session.feed", nested.Session.feed))


def examples():
    """Of the package, and of every public name, inherited members included."""
    finder = doctest.DocTestFinder(recurse=False)
    found = finder.find(nested, "nested")
    for name, one in public():
        found += finder.find(one, f"nested.{name}", module=False)
    return [test for test in found if test.examples]


@pytest.fixture(scope="module")
def trained():
    model = nested.Model({"vocab": 256, "d_model": 32, "n_layers": 2}, seed=0)
    with nested.Trainer(model, lr=1e-2, schedule={"type": "constant"}) as trainer:
        trainer.fit(TEXT, 60, 4, 48)
    data = model.to_bytes()
    model.close()
    return data


@pytest.mark.parametrize("example", examples(), ids=lambda test: test.name)
def test_example(example, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example.globs = {
        "nested": nested, "np": np, "text": TEXT[:900],
        "model": nested.Model.from_bytes(trained)}
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    result = runner.run(example, out=said.append)
    assert result.attempted and not result.failed, "".join(said)


def test_there_are_examples():
    names = {test.name for test in examples()}
    assert len(names) == len(examples()) >= 34
    assert {"nested", "nested.Session.feed", "nested.Model.from_bytes", "nested.Session.teach"} <= names
