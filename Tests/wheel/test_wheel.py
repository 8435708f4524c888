"""The wheel: what is in it, where it may be installed, and its life among other users of OpenBLAS.

`pip wheel bindings/python` is run as a user runs it, on a copy of the sources.  The environment that the wheel is
installed in has what requirements.txt names, is made by pip, and is kept in .build/wheel-venv between runs.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
LIBRARY = ROOT / "build" / "lib" / "libnested.so.1"
VENV = ROOT / ".build" / "wheel-venv"
# What systems with a glibc 2.x have of libstdc++, as auditwheel's policies state it; 2.35 is the newest that the wheel
# may ask for: Ubuntu 22.04 has it, Debian 12 has more.
LIBSTDCXX = {34: ((3, 4, 29), (1, 3, 13)), 35: ((3, 4, 30), (1, 3, 13))}


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def bare(folder):
    """The environment of a user who has no compiler and no copy of the project."""
    return {"PATH": str(folder), "HOME": os.environ.get("HOME", "/"), "CC": "/bin/false", "LANG": "C.UTF-8"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "bindings" / "python", tree / "bindings" / "python",
                    ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    for name in ("LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tree)
    (tree / "build" / "lib").mkdir(parents=True)
    shutil.copy(LIBRARY, tree / "build" / "lib")
    bin_ = pathlib.Path(sys.executable).parent
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir",
        tree / "out", tree / "bindings" / "python", env=bare(bin_))
    (path,) = (tree / "out").iterdir()
    return path


@pytest.fixture(scope="session")
def python(wheel):
    """Of an environment in which nothing but the wheel and its company is installed."""
    wanted = (HERE / "requirements.txt").read_text() + sys.version
    stamp, python = VENV / "stamp", VENV / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(VENV, ignore_errors=True)
        run(sys.executable, "-m", "venv", VENV)
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:",
            "-r", HERE / "requirements.txt")
        stamp.write_text(wanted)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps",
        "--force-reinstall", wheel, env=bare(python.parent))
    run(python, "-m", "pip", "check")
    return python


def needed(prefix):
    """The newest symbol version of one family that the library asks the system for."""
    listed = run("objdump", "-p", LIBRARY)
    return max(tuple(map(int, found.split("."))) for found in re.findall(rf"\b{prefix}_([0-9.]+)\b", listed))


def test_the_tag_is_the_oldest_system_that_has_every_symbol(wheel):
    name = re.fullmatch(r"nested-[0-9.]+-py3-none-manylinux_2_(\d+)_x86_64\.whl", wheel.name)
    assert name, wheel.name
    tag = int(name[1])
    assert needed("GLIBC") == (2, tag) and tag in LIBSTDCXX
    assert (needed("GLIBCXX"), needed("CXXABI")) <= LIBSTDCXX[tag] and needed("CXXABI") <= LIBSTDCXX[tag][1]
    with zipfile.ZipFile(wheel) as archive:
        (info,) = (n for n in archive.namelist() if n.endswith(".dist-info/WHEEL"))
        assert f"Root-Is-Purelib: false\nTag: py3-none-manylinux_2_{tag}_x86_64\n" in archive.read(info).decode()


def test_older_systems_refuse_it(wheel, tmp_path):
    def install(platform):
        return subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run", "--no-deps",
             "--only-binary", ":all:", "--platform", platform, "--target", tmp_path, wheel], capture_output=True, text=True)
    tag = wheel.stem.rsplit("-", 1)[-1]
    assert install(tag).returncode == 0
    glibc = int(tag.split("_")[2])
    for older in (f"manylinux_2_{glibc - 1}_x86_64", "manylinux2014_x86_64", f"manylinux_2_{glibc}_aarch64", "macosx_14_0_x86_64"):
        refused = install(older)
        assert refused.returncode != 0 and "not a supported wheel" in refused.stderr, older


def test_what_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
        package = ROOT / "bindings" / "python" / "nested"
        assert files == {f"nested/{path.name}" for path in package.glob("*.py")} | {
            f"nested/{name}" for name in ("py.typed", LIBRARY.name, "LICENSE", "NOTICE")}
        assert archive.read(f"nested/{LIBRARY.name}") == LIBRARY.read_bytes()
        assert archive.read("nested/NOTICE") == (ROOT / "NOTICE").read_bytes()
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        told = archive.read(metadata).decode()
    assert "Name: nested\n" in told and "Requires-Dist: numpy" in told and "Apache-2.0" in told
    assert wheel.stat().st_size < 12 << 20


def test_it_runs_without_a_compiler_or_the_project(python, tmp_path):
    said = run(python, "-c", "import nested; nested.Model({'vocab': 16}).session().read([1, 2, 3]); "
               "print(nested.__file__); print(open('/proc/self/maps').read())", cwd=tmp_path, env=bare(python.parent))
    loaded = {line.split()[-1] for line in said.splitlines() if "libnested" in line}
    assert said.startswith(str(VENV)) and len(loaded) == 1
    assert loaded.pop() == str(pathlib.Path(said.splitlines()[0]).parent / LIBRARY.name)


def test_the_packages_own_tests_pass(python, tmp_path):
    said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", ROOT / "bindings" / "python" / "tests",
               cwd=tmp_path, env=bare(f"{python.parent}"))
    passed = int(re.search(r"(\d+) passed", said)[1])
    assert passed >= 180 and "failed" not in said, said


def beside(python, order, folder, **environment):
    return json.loads(run(python, HERE / "beside.py", order, cwd=folder, env={**bare(python.parent), **environment}))


@pytest.fixture(scope="session")
def alone(python, tmp_path_factory):
    return beside(python, "alone", tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize("order, environment", [
    ("nested-first", {}), ("scipy-first", {}),
    ("scipy-first", {"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Nehalem", "OMP_NUM_THREADS": "7"})])
def test_beside_other_copies_of_openblas(python, alone, tmp_path, order, environment):
    """NumPy's, SciPy's and two more; theirs are right and ours are the bits that we compute alone."""
    found = beside(python, order, tmp_path, **environment)
    folders = {pathlib.Path(path).parent for path in found["copies"]}
    assert {"numpy.libs", "scipy.libs"} <= {folder.name for folder in folders}
    assert len(found["copies"]) >= 4 and len(alone["copies"]) == 1
    assert found["rounds"] >= 2 and found["error"] < 1e-10
    assert found["hash"] == alone["hash"]
