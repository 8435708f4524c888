"""Runs the C and Python snippets of README.md, in the order they stand, in one folder.

A C block is a program when it has a main, else the inside of one. Prints `ok N`, and `not ok` with the line of the
block that failed.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIB = ROOT / "build" / "lib"
PYTHON = ROOT / ".build" / "venv" / "bin" / "python"


def blocks(text):
    for match in re.finditer(r"^```(c|python)\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, match.start()) + 1, match[1], match[2]


def c_program(code):
    if re.search(r"\bmain\s*\(", code):
        return code
    lines = code.splitlines()
    includes = [line for line in lines if line.startswith("#include")]
    rest = [line for line in lines if not line.startswith("#include")]
    return "\n".join(['#include "nested.h"', *includes, "int main(void) {", *rest, "return 0;", "}", ""])


def run(language, code, folder):
    if language == "python":
        (folder / "snippet.py").write_text(code)
        return subprocess.run([PYTHON, "snippet.py"], cwd=folder, timeout=600).returncode
    (folder / "snippet.c").write_text(c_program(code))
    command = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include", "snippet.c", f"-L{LIB}", "-lnested",
               f"-Wl,-rpath,{LIB}", "-lm", "-o", "snippet"]
    return (subprocess.run(command, cwd=folder).returncode
            or subprocess.run([folder / "snippet"], cwd=folder, timeout=600).returncode)


def main():
    os.environ.setdefault("NESTED_LIBRARY", str(LIB / "libnested.so.1"))
    os.environ["PYTHONPATH"] = str(ROOT / "bindings" / "python")
    good = bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for line, language, code in blocks((ROOT / "README.md").read_text()):
            if run(language, code, pathlib.Path(folder)) == 0:
                good += 1
            else:
                bad += 1
                print(f"not ok README.md:{line}: {language} block", flush=True)
    print(f"ok {good}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
