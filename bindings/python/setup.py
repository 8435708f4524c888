"""Puts the built libnested.so into the wheel, where there is one; the rest is in pyproject.toml.

The library is looked for in the environment variable NESTED_LIBRARY, then where `make` leaves it.
Without one the wheel is pure Python and finds the library at run time (see nested/_library.py).
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

NAME = "libnested.so.1"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def built_library():
    named = os.environ.get("NESTED_LIBRARY")
    found = [pathlib.Path(named)] if named else []
    found += [ROOT / "build" / "lib" / NAME]
    return next((path.resolve() for path in found if path.is_file()), None)


class WithLibrary(Distribution):
    """What goes into a wheel's platlib, as something compiled."""

    def has_ext_modules(self):
        return built_library() is not None


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        if self.editable_mode:
            return
        target = pathlib.Path(self.build_lib) / "nested"
        self.mkpath(str(target))
        # The licences of what the library is made of go where it goes.
        for source, name in ((built_library(), NAME), *((ROOT / n, n) for n in ("LICENSE", "NOTICE"))):
            (target / name).unlink(missing_ok=True)  # of an earlier build
            if source and source.is_file():
                shutil.copyfile(source, target / name)


class PlatformWheel(bdist_wheel):
    """Any Python 3; of the platforms the oldest that has every symbol the library asks for.

    auditwheel reads it from the finished wheel.  Where auditwheel is missing (`--no-build-isolation`)
    the tag is this machine's own, `linux_x86_64`: it installs here, and PyPI refuses it.
    """

    def get_tag(self):
        if self.root_is_pure:
            return super().get_tag()
        return "py3", "none", sysconfig.get_platform().replace("-", "_").replace(".", "_")

    def run(self):
        super().run()
        if self.root_is_pure:
            return
        command, version, path = self.distribution.dist_files.pop()
        shown = subprocess.run(
            [sys.executable, "-m", "auditwheel", "show", path], capture_output=True, text=True)
        found = re.search(r'platform tag:\s+"(\w+)"', shown.stdout)
        if found:
            retagged = subprocess.run(
                [sys.executable, "-m", "wheel", "tags", "--remove", "--platform-tag", found[1], path],
                check=True, capture_output=True, text=True).stdout.strip()
            path = os.path.join(os.path.dirname(path), retagged)
        self.distribution.dist_files.append((command, version, path))


setup(distclass=WithLibrary, cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel})
