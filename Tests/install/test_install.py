"""`make install` and `make dist`: programs outside the repository, in C and C++, build by pkg-config and by CMake against
an installed tree, a staged one (DESTDIR), a moved one and an unpacked tarball; `make uninstall` leaves nothing.

Everything runs with BUILT=1, on the library that is there: `make test` has built it.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Each prints the version, and runs into a failure that the library has to survive.
PROGRAMS = {
    "app.c": """
#include <nested.h>
#include <stdio.h>
int main(void) {
    nested_config *config = NULL;
    if (nested_config_from_json("{}", NESTED_NUL_TERMINATED, &config) != NESTED_E_CONFIG) nested_config_release(config);
    puts(nested_version_string());
    return nested_version() == NESTED_VERSION ? 0 : 1;
}
""",
    "app.cpp": """
#include <nested.hpp>
#include <iostream>
int main() {
  nested::config config = nested::config::defaults();
  try { config.set("/d_model", -1); return 1; } catch (const nested::error &) {}
  std::cout << nested::version_string() << std::endl;
}
""",
}
COMPILERS = {"app.c": ["gcc", "-std=c99"], "app.cpp": ["g++", "-std=c++17"]}
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(*command, status=0, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def make(*arguments):
    # Not the variables of the `make test` that may have started this.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return run("make", "--no-print-directory", "BUILT=1", *arguments, cwd=ROOT, env=environment)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def pkg_config(folder, **environment):
    """Builds and runs both programs with the flags that a nested.pc in `folder` gives."""
    environment = dict(os.environ, PKG_CONFIG_LIBDIR=str(folder), **environment)
    found = run("pkg-config", "--cflags", "--libs", "nested >= 1.0", env=environment).split()
    library = next(flag[2:] for flag in found if flag.startswith("-L"))
    return found, library


def build_and_run(folder, found, library):
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text)
        run(*COMPILERS[name], *STRICT, name, *found, "-o", "app", cwd=folder)
        environment = dict(os.environ, LD_LIBRARY_PATH=library)
        assert run(folder / "app", env=environment) == "1.0.0\n"
        assert os.path.realpath(library) in os.path.realpath(
            run("ldd", folder / "app", env=environment).split("libnested.so.1 => ")[1].split()[0])


def cmake(folder, *arguments, status=0):
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text)
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(apps C CXX)\nset(CMAKE_CXX_STANDARD 17)\n"
        "find_package(nested 1.0 REQUIRED)\nadd_executable(app_c app.c)\nadd_executable(app_cpp app.cpp)\n"
        "target_link_libraries(app_c PRIVATE nested::nested)\ntarget_link_libraries(app_cpp nested::nested)\n")
    run("cmake", "-S", ".", "-B", "out", *arguments, cwd=folder, status=status)
    if status == 0:
        run("cmake", "--build", "out", cwd=folder)
        for name in ("app_c", "app_cpp"):
            assert run(folder / "out" / name) == "1.0.0\n"
        return run("ldd", folder / "out" / "app_c")
    return None


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    make("install", f"PREFIX={prefix}")
    return prefix


@pytest.fixture(scope="module")
def tarball():
    return pathlib.Path(make("dist").splitlines()[-1])


@pytest.fixture(scope="module")
def unpacked(tarball, tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder with blanks")
    with tarfile.open(tarball) as archive:
        archive.extractall(folder)
    return folder / tarball.name.removesuffix(".tar.gz")


def test_links_lead_to_the_library(prefix):
    names = sorted(path.name for path in (prefix / "lib").glob("libnested.so*"))
    assert names == ["libnested.so", "libnested.so.1", "libnested.so.1.0.0"]
    assert {os.path.realpath(prefix / "lib" / name) for name in names} == {str(prefix / "lib" / "libnested.so.1.0.0")}


def test_pkg_config(prefix, tmp_path):
    found, library = pkg_config(prefix / "lib" / "pkgconfig")
    assert f"-I{prefix}/include" in found and library == f"{prefix}/lib"
    build_and_run(tmp_path, found, library)


def test_pkg_config_of_a_staged_tree_with_another_libdir(tmp_path):
    """As distributions build: DESTDIR is not in what is installed, and pkg-config's sysroot puts it before the paths."""
    stage = tmp_path / "stage"
    make("install", f"DESTDIR={stage}", "PREFIX=/opt/nested", "LIBDIR=/opt/nested/lib/x86_64-linux-gnu")
    folder = stage / "opt/nested/lib/x86_64-linux-gnu"
    assert str(stage) not in (folder / "pkgconfig" / "nested.pc").read_text()
    found, library = pkg_config(folder / "pkgconfig", PKG_CONFIG_SYSROOT_DIR=str(stage))
    assert library == str(folder)
    build_and_run(tmp_path, found, library)
    assert str(folder) in cmake(tmp_path, f"-DCMAKE_PREFIX_PATH={stage}/opt/nested", "-DCMAKE_LIBRARY_ARCHITECTURE=x86_64-linux-gnu",
                                f"-Dnested_DIR={folder}/cmake/nested")


def test_cmake_from_a_tree_that_was_moved(prefix, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(prefix, moved, symlinks=True)
    assert str(moved) in cmake(tmp_path, f"-DCMAKE_PREFIX_PATH={moved}")


def test_cmake_refuses_what_does_not_fit(prefix, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(prefix, moved, symlinks=True)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(app C)\nfind_package(nested 2.0 REQUIRED)\n")
    run("cmake", "-S", ".", "-B", "out", f"-DCMAKE_PREFIX_PATH={moved}", cwd=tmp_path / "old", status=1)
    (moved / "include" / "nested.h").unlink()
    cmake(tmp_path, f"-DCMAKE_PREFIX_PATH={moved}", status=1)


def test_uninstall_leaves_no_file(tmp_path):
    make("install", f"PREFIX={tmp_path}", f"LIBDIR={tmp_path}/lib64")
    installed = files(tmp_path)
    assert "include/nested.hpp" in installed and "lib64/libnested.so.1.0.0" in installed
    (tmp_path / "lib64" / "libother.so").touch()
    make("uninstall", f"PREFIX={tmp_path}", f"LIBDIR={tmp_path}/lib64")
    assert files(tmp_path) == ["lib64/libother.so"]


# What is built for the command line goes along, wherever it has been built.
CLI = ["bin/nested-cli", "share/man/man1/nested-cli.1", "share/bash-completion/completions/nested-cli",
       "share/zsh/site-functions/_nested-cli", "share/fish/vendor_completions.d/nested-cli.fish"]


def test_the_command_line_is_installed_with_its_manual_and_completions(prefix, unpacked):
    built = [name for name in CLI if (ROOT / "build" / name).exists()]
    assert [name for name in CLI if (prefix / name).exists()] == built
    assert [name for name in CLI if (unpacked / name).exists()] == built
    if built:
        # It finds the library beside it, also in a tree that was moved.
        assert run(unpacked / CLI[0], "--version") == "1.0.0\n"


def test_the_tarball_is_the_same_every_time(tarball):
    before = tarball.read_bytes()
    assert pathlib.Path(make("dist").splitlines()[-1]).read_bytes() == before
    with tarfile.open(tarball) as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == sorted((m.name for m in members), key=lambda name: name.split("/"))
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
    assert len({m.mtime for m in members}) == 1
    assert all(m.name.split("/")[0] == tarball.name.removesuffix(".tar.gz") for m in members)


def test_the_tarball_has_what_it_should_and_no_path_of_this_machine(unpacked):
    there = set(files(unpacked))
    assert {"LICENSE", "NOTICE", "SECURITY.md", "README.md", "CHANGELOG.md", "include/nested.h", "include/nested.hpp",
            "lib/pkgconfig/nested.pc", "lib/cmake/nested/nested-config.cmake", "examples/c/01_train_generate.c",
            "examples/cpp/06_gradients.cpp", "python/nested/__init__.py", "python/nested/py.typed"} <= there
    assert not [name for name in there if "__pycache__" in name]
    for name in there:
        if name.startswith("lib/") and "libnested.so" not in name:
            assert str(ROOT) not in (unpacked / name).read_text(), name
        elif name.startswith(("lib/", "bin/")):
            assert str(ROOT) not in run("readelf", "-d", unpacked / name), name


def test_programs_build_from_the_tarball(unpacked, tmp_path):
    # Blanks are not for pkg-config's flags as make and shells use them.
    plain = tmp_path / "nested"
    plain.symlink_to(unpacked)
    build_and_run(tmp_path, *pkg_config(plain / "lib" / "pkgconfig"))
    assert str(unpacked) in cmake(tmp_path, f"-DCMAKE_PREFIX_PATH={unpacked}")


def test_an_example_of_each_language_runs_from_the_tarball(unpacked, tmp_path):
    flags = [f"-I{unpacked}/include", f"-L{unpacked}/lib", "-lnested", f"-Wl,-rpath,{unpacked}/lib", "-lpthread"]
    run("gcc", unpacked / "examples/c/04_many_sessions.c", *flags, "-o", "c", cwd=tmp_path)
    run("g++", "-std=c++17", unpacked / "examples/cpp/04_many_sessions.cpp", *flags, "-o", "cpp", cwd=tmp_path)
    # The same story to the last digit, but for the memory in use at the end.
    assert run("./c", cwd=tmp_path).splitlines()[:-1] == run("./cpp", cwd=tmp_path).splitlines()[:-1]
    environment = {k: v for k, v in os.environ.items() if k != "NESTED_LIBRARY"}
    environment.update(PYTHONPATH=str(unpacked / "python"), PYTHONDONTWRITEBYTECODE="1")
    told = run(sys.executable, "-c", "import nested, nested._library as l; print(nested.__file__); print(open('/proc/self/maps').read())",
               cwd=tmp_path, env=environment)
    assert told.startswith(str(unpacked / "python")) and f"{unpacked}/lib/libnested.so.1.0.0" in told
    run(sys.executable, unpacked / "examples/python/01_train_generate.py", cwd=tmp_path, env=environment)


@pytest.mark.skipif(not shutil.which("doxygen"), reason="doxygen is not installed")
def test_the_headers_make_a_manual_without_a_warning(tmp_path):
    make("doc", f"OUT={tmp_path}")
    pages = {path.name: path.read_text() for path in (tmp_path / "doc" / "c").glob("*.html")}
    text = "\n".join(pages.values())
    # The last things of long blocks have their words too, and there are pages for the rules and the classes.
    for name in ("nested_session_feed", "nested_trainer_load", "nested_blob_size", "NESTED_E_POISONED", "n_consumed"):
        assert name in text
    assert "R12" in pages["index.html"] and "classnested_1_1session.html" in pages


@pytest.mark.skipif(not shutil.which("doxygen"), reason="doxygen is not installed")
def test_a_function_without_a_comment_fails_the_manual(tmp_path):
    for name in ("include", "bindings/c"):
        shutil.copytree(ROOT / name, tmp_path / name)
    header = tmp_path / "include" / "nested.h"
    end = "#ifdef __cplusplus\n}"
    assert end in header.read_text()
    environment = dict(os.environ, NESTED_DOC=str(tmp_path))
    for declaration, status in (("/** Said. */\nNESTED_API void nested_new(void);", 0), ("NESTED_API void nested_new(void);", 1)):
        header.write_text((ROOT / "include" / "nested.h").read_text().replace(end, declaration + "\n\n" + end))
        run("doxygen", "bindings/c/Doxyfile", status=status, cwd=tmp_path, env=environment)
