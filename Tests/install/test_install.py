"""`make install` into a folder: a C program finds the library by pkg-config and by CMake, and uninstall leaves nothing."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = """
#include <nested.h>
#include <stdio.h>
int main(void) { printf("%s\\n", nested_version_string()); return nested_version() == NESTED_VERSION ? 0 : 1; }
"""


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    run("make", "install", f"PREFIX={prefix}", cwd=ROOT)
    return prefix


def test_links_lead_to_the_library(prefix):
    names = sorted(path.name for path in (prefix / "lib").glob("libnested.so*"))
    assert names == ["libnested.so", "libnested.so.1", "libnested.so.1.0.0"]
    assert {os.path.realpath(prefix / "lib" / name) for name in names} == {str(prefix / "lib" / "libnested.so.1.0.0")}


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="pkg-config is not installed")
def test_pkg_config(prefix, tmp_path):
    (tmp_path / "app.c").write_text(PROGRAM)
    environment = dict(os.environ, PKG_CONFIG_PATH=str(prefix / "lib" / "pkgconfig"))
    flags = run("pkg-config", "--cflags", "--libs", "nested >= 1.0", env=environment).split()
    run("gcc", "app.c", *flags, "-o", "app", cwd=tmp_path)
    assert run(tmp_path / "app", env=dict(os.environ, LD_LIBRARY_PATH=str(prefix / "lib"))) == "1.0.0\n"


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
def test_cmake_from_a_tree_that_was_moved(prefix, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(prefix, moved, symlinks=True)
    (tmp_path / "app.c").write_text(PROGRAM)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(app C)\nfind_package(nested 1.0 REQUIRED)\n"
        "add_executable(app app.c)\ntarget_link_libraries(app PRIVATE nested::nested)\n")
    run("cmake", "-S", ".", "-B", "out", f"-DCMAKE_PREFIX_PATH={moved}", cwd=tmp_path)
    run("cmake", "--build", "out", cwd=tmp_path)
    assert run(tmp_path / "out" / "app") == "1.0.0\n"
    assert str(moved) in run("ldd", tmp_path / "out" / "app")


def test_uninstall_leaves_no_file(prefix, tmp_path):
    copy = tmp_path / "copy"
    run("make", "install", f"PREFIX={copy}", cwd=ROOT)
    run("make", "uninstall", f"PREFIX={copy}", cwd=ROOT)
    assert [path for path in copy.rglob("*") if not path.is_dir()] == []
