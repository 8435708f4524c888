"""Rules for the sources that no compiler checks."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = sorted(path.name for path in (ROOT / "Sources").glob("Nested*") if path.is_dir() and not path.is_symlink())
FILES = sorted(path for target in TARGETS for path in (ROOT / "Sources" / target).rglob("*.swift"))

# Whatever could end the host's process, print, read its environment, or bring in a second runtime.
BANNED = {
    r"\bimport\s+(Foundation|FoundationEssentials|Dispatch|_Concurrency|Synchronization)\b": "no such import",
    r"\b(fatalError|preconditionFailure|assertionFailure|abort|exit|_exit)\s*\(": "nothing ends the process",
    r"\btry!|\bas!": "no forced try or cast",
    r"[\w)\]]!(?=[\s.,)\]:;]|$)(?!=)": "no forced unwrap",
    r"\b(print|debugPrint|dump|puts|printf|fputs)\s*\(": "nothing is printed",
    r"\b(getenv|setenv|ProcessInfo)\b": "no environment",
    r"\b(async|await|Task|actor)\b(?=\s*[\w({:])": "no Swift concurrency",
    r"@testable": "not a test",
}


def code(text):
    """Without comments and string literals, line by line."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
    text = re.sub(r'"""(.*?)"""', lambda m: '""' + "\n" * m[0].count("\n"), text, flags=re.S)
    for number, line in enumerate(text.splitlines(), 1):
        line = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
        yield number, line.split("//")[0]


@pytest.mark.parametrize("target", TARGETS)
def test_sources_hold_nothing_that_is_banned(target):
    found = []
    for path in (ROOT / "Sources" / target).rglob("*.swift"):
        for number, line in code(path.read_text()):
            for pattern, rule in BANNED.items():
                if re.search(pattern, line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {rule}: {line.strip()}")
    assert found == []


def test_no_file_is_longer_than_600_lines():
    assert [path.name for path in FILES if len(path.read_text().splitlines()) > 600] == []


def test_every_target_has_a_readme():
    for folder in (ROOT / "Sources").iterdir():
        if folder.is_dir() and folder.name.startswith(("Nested", "CNested")):
            assert len((folder / "README.md").read_text().splitlines()) > 5, folder.name


def test_x86_code_stands_only_where_it_may():
    for path in [*FILES, *(ROOT / "Sources" / "CNestedShims").rglob("*.[ch]")]:
        text = path.read_text()
        if re.search(r"immintrin|xmmintrin|cpuid|__asm__ volatile|arch\(x86_64\)|__x86_64__", text):
            assert path.name in ("cpu_level.c", "cpu_level.h", "float_environment.c", "atomics.h"), path


def test_kernels_of_both_levels_are_one_source():
    assert (ROOT / "Sources" / "NestedKernelsV4").is_symlink()
    assert (ROOT / "Sources" / "NestedKernelsV4").resolve() == ROOT / "Sources" / "NestedKernels"
