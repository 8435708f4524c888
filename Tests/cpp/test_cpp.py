"""nested.hpp: the programs of this folder, every standard and compiler, and that nothing of nested.h is left out.

A program prints `ok N` for its N checks and returns 0, or says what failed. Each is built by every compiler there is.
"""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIB = ROOT / "build" / "lib"
HEADER = ROOT / "bindings" / "c" / "nested.hpp"
COMPILERS = [name for name in ("g++", "clang++") if shutil.which(name)]
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"]
INCLUDE = [f"-I{ROOT / 'include'}", f"-I{HEADER.parent}"]
LINK = [f"-L{LIB}", "-lnested", f"-Wl,-rpath,{LIB}", "-lpthread"]


def run(*command, status=0):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("standard", ["c++17", "c++20", "c++23"])
def test_the_header_compiles_without_a_warning_in_two_translation_units(compiler, standard, tmp_path):
    if compiler == "g++" and standard == "c++23":
        standard = "c++2b"
    for unit, text in (("one", "int one() { return nested::abi() == NESTED_ABI ? 0 : 1; }"),
                       ("two", "int one(); int main() { return one() + (nested::live_handles() != 0); }")):
        (tmp_path / f"{unit}.cpp").write_text(f"#include <nested.hpp>\n#include <nested.hpp>\n{text}\n")
    run(compiler, f"-std={standard}", *STRICT, *INCLUDE, tmp_path / "one.cpp", tmp_path / "two.cpp", *LINK,
        "-o", tmp_path / "program")
    run(tmp_path / "program")


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("source", sorted(HERE.glob("*.cpp")), ids=lambda path: path.stem)
def test_program(compiler, source, tmp_path):
    standard = "c++17" if compiler == "g++" else "c++20"
    run(compiler, f"-std={standard}", "-O0", *STRICT, *INCLUDE, source, *LINK, "-o", tmp_path / "program")
    assert re.search(r"^ok [1-9]", run(tmp_path / "program"), re.M)


def left_out(text):
    """Functions of nested.h that the wrapper does not call (or hand to a template) outside its comments."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)
    functions = json.loads((ROOT / "Tests" / "abi" / "abi.json").read_text())["functions"]
    return [name for name in functions if not re.search(rf"\b{name}\b", code)]


def test_every_function_is_wrapped():
    text = HEADER.read_text()
    assert left_out(text) == []
    assert left_out(text.replace("(nested_session_score,", "(x,")) == ["nested_session_score"]


MISTAKES = [
    "nested::session a(model), b = a;", "nested::session(model).feed(5);", "nested::batch(std::vector<float>(4), 2, 2);",
    "nested::session(model).feed({1}, [](const nested_progress &) { return 1; });", "nested::config c = \"{}\";",
    "nested::feed_each(std::vector<const nested::session *>(), {1});", "nested::trainer t(model);",
]


@pytest.mark.parametrize("wrong", ["(void)model;", *MISTAKES])
def test_mistakes_do_not_compile(wrong, tmp_path):
    source = tmp_path / "wrong.cpp"
    source.write_text("#include <nested.hpp>\nvoid f(const nested::model &model);\n"
                      "void f(const nested::model &model) { (void)model; %s }\n" % wrong)
    run("g++", "-std=c++17", "-fsyntax-only", *INCLUDE, source, status=int(wrong in MISTAKES))


def test_the_page_of_kinds_is_the_example():
    """bindings/c/KINDS.md shows the configurations of examples/c/08_kinds.c, a section for each kind."""
    page = (HEADER.parent / "KINDS.md").read_text()
    source = (ROOT / "examples" / "c" / "08_kinds.c").read_text()
    table = re.search(r"kinds\[\] = \{\n(.*?)\n\};", source, re.S)[1]
    rows = re.findall(r'NESTED_KIND_\w+,\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\}', table)
    shown = ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', row)).replace('\\"', '"') for row in rows]
    assert "\n".join(shown) == "\n".join(re.findall(r"^\{.*\}$", page, re.M))
    schema = (ROOT / "Tests" / "abi" / "abi.json").read_text()
    kinds = {name.removeprefix("NESTED_KIND_") for name in json.loads(schema)["constants"] if name.startswith("NESTED_KIND_")}
    assert {title.upper().replace("-", "_") for title in re.findall(r"^## (\S+)$", page, re.M)} == kinds
