"""Runs the snippets of README.md, in the order they stand, in one folder.

A block of C, C++, Python, Rust or Swift is a program; a block of sh is run when each of its lines is a call of nested-cli. Programs that
end with the loss on the news tell one story, so these lines must be the same. In the folder are two texts for the command line,
book.txt and notes.txt, and a checkpoint of transformers, llama. Prints `ok N`, and `not ok` with the line of the block that failed.

Cargo and SwiftPM keep what they build in .build/rust and .build/readme.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
LIB = ROOT / "build" / "lib"
KEPT = ROOT / ".build" / "readme"
PYTHON = ROOT / ".build" / "venv" / "bin" / "python"
LANGUAGES = ["c", "cpp", "python", "rust", "swift", "sh"]
FOX = "the quick brown fox jumps over the lazy dog. "
NUMBERS = "zwei drei vier funf sechs sieben acht neun zehn. "


class Failure(Exception):
    pass


def run(*command, cwd, **variables):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **variables}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    if done.returncode != 0:
        raise Failure(f"{command[0]}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def write(path, text):
    """Leaves the file alone when it says so already: what was built of it is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def compiled(folder, compiler, source, code):
    (folder / source).write_text(code)
    run(*compiler, "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include", f"-I{ROOT}/bindings/c", source, f"-L{LIB}", "-lnested",
        f"-Wl,-rpath,{LIB}", "-o", "snippet", cwd=folder)
    return run(folder / "snippet", cwd=folder)


def c(folder, code):
    return compiled(folder, ["gcc", "-std=c11", "-pedantic"], "snippet.c", code)


def cpp(folder, code):
    return compiled(folder, ["g++", "-std=c++17", "-pedantic"], "snippet.cpp", code)


def python(folder, code):
    (folder / "snippet.py").write_text(code)
    return run(PYTHON, "snippet.py", cwd=folder)


def rust(folder, code):
    crate = KEPT / "rust"
    write(crate / "Cargo.toml", '[package]\nname = "readme"\nversion = "0.0.0"\nedition = "2021"\n\n'
          f'[dependencies]\nnested = {{ path = "{ROOT}/bindings/rust/nested" }}\n\n[workspace]\n')
    write(crate / "src" / "main.rs", code)
    return run("cargo", "run", "--quiet", "--offline", "--manifest-path", crate / "Cargo.toml", cwd=folder,
               CARGO_TARGET_DIR=str(ROOT / ".build" / "rust"), NESTED_LIB_DIR=str(LIB), RUSTFLAGS="-D warnings").strip()


def swift(folder, code):
    package = KEPT / "program"  # "swift" is the identity of the folder of the binding
    write(package / "Package.swift", '// swift-tools-version: 6.2\nimport PackageDescription\n\nlet package = Package(\n'
          f'  name: "readme",\n  dependencies: [.package(name: "Nested", path: "{ROOT}/bindings/swift")],\n'
          '  targets: [\n    .executableTarget(name: "readme", dependencies: [.product(name: "Nested", package: "Nested")],\n'
          '      swiftSettings: [.treatAllWarnings(as: .error)])\n  ]\n)\n')
    write(package / "Sources" / "readme" / "main.swift", code)
    write(KEPT / "nested.pc", "Name: nested\nDescription: the library of the tree\nVersion: 1.0.0\n"
          f"Cflags: -I{ROOT}/include\nLibs: -L{LIB} -lnested\n")
    run("swift", "build", "--package-path", package, "--product", "readme", cwd=folder, PKG_CONFIG_PATH=str(KEPT))
    return run(package / ".build" / "debug" / "readme", cwd=folder, LD_LIBRARY_PATH=str(LIB))


def sh(folder, code):
    return run("sh", "-e", "-c", code, cwd=folder, PATH=f"{ROOT}/build/bin:{os.environ['PATH']}")


def is_command_line(code):
    """Whether every line that does not go on the one before calls nested-cli."""
    lines = code.replace("\\\n", " ").splitlines()
    return all(line.startswith("nested-cli ") for line in lines)


def blocks(text):
    for match in re.finditer(rf"^```({'|'.join(LANGUAGES)})\n(.*?)^```$", text, re.M | re.S):
        if match[1] != "sh" or is_command_line(match[2]):
            yield text.count("\n", 0, match.start()) + 1, match[1], match[2]


def main():
    os.environ["NESTED_LIBRARY"] = str(LIB / "libnested.so.1")
    os.environ["PYTHONPATH"] = str(ROOT / "bindings" / "python")
    passed, failed = [], 0
    lines = {}  # how the story ends in each language
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "book.txt").write_text(FOX * 100)
        (folder / "notes.txt").write_text(NUMBERS * 40)
        shutil.copytree(ROOT / "Tests" / "peers" / "fixtures" / "llama" / "tied", folder / "llama")
        for line, language, code in blocks(README.read_text()):
            try:
                output = globals()[language](folder, code)
                print(output)
                passed.append(language)
                last = output.rstrip().rpartition("\n")[2]
                if last.startswith("loss on the news"):
                    lines[language] = last
            except (Failure, OSError, subprocess.TimeoutExpired) as failure:
                failed += 1
                print(f"{failure}\nnot ok README.md:{line}: {language} block", flush=True)
    if not failed and (set(passed) != set(LANGUAGES) or len(lines) != 5 or len(set(lines.values())) != 1):
        failed += 1
        print(f"not ok README.md: a language is missing, or the programs do not tell one story: {passed}, {lines}")
    print(f"ok {len(passed)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
