"""KINDS.md: a section with an example that runs for every kind, and every one saves and loads."""

from __future__ import annotations

import doctest
import pathlib
import re

import numpy as np
import pytest

import nested

PAGE = pathlib.Path(__file__).resolve().parents[1] / "KINDS.md"
SCHEMA = nested.config_schema()["properties"]
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the page is not beside the tests")


def sections():
    """(title, its examples) of the page; the first is the preamble."""
    head, *rest = re.split(r"^##+ ", PAGE.read_text(), flags=re.M)
    for text in ["preamble\n" + head, *rest]:
        title, _, body = text.partition("\n")
        yield title, "\n".join(re.findall(r"^```python\n(.*?)^```$", body, re.M | re.S))


def test_every_kind_and_mode_has_a_section():
    titles = [title for title, _ in sections()] if PAGE.exists() else []
    modes = SCHEMA["titans"]["properties"]["mode"]["enum"]
    assert sorted(titles) == sorted(["preamble", *SCHEMA["kind"]["enum"], *modes])
    for title, code in sections():
        assert code or title == "titans", title
        if title in SCHEMA["kind"]["enum"] and code:
            assert f'"kind": "{title}"' in code
        if title in modes:
            assert f'"mode": "{title}"' in code


@pytest.mark.parametrize("title", [title for title, code in sections() if code][1:] if PAGE.exists() else [])
def test_the_example_runs(title, tmp_path):
    found = dict(sections())
    test = doctest.DocTestParser().get_doctest(
        found["preamble"] + found[title], {}, title, str(PAGE), 0)
    said = []
    result = doctest.DocTestRunner().run(test, out=said.append, clear_globs=False)
    assert not result.failed, "".join(said)
    model = test.globs["model"]
    model.save(tmp_path / "model")
    again = nested.load(tmp_path / "model")
    row = {"inputs": np.ones((3, model.n_inputs))} if model.n_inputs else {"tokens": b"to be"}
    assert (again.forward(**row) == model.forward(**row)).all()
    test.globs.clear()
