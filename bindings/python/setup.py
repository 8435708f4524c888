"""Puts the built libnested.so into the wheel, where there is one; the rest is in pyproject.toml.

The library is looked for in the environment variable NESTED_LIBRARY, then where `make` leaves it.
Without one the wheel is pure Python and finds the library at run time (see nested/_library.py).
"""

import os
import pathlib
import shutil
import sysconfig

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

NAME = "libnested.so.1"


def built_library():
    named = os.environ.get("NESTED_LIBRARY")
    here = pathlib.Path(__file__).resolve().parent
    found = [pathlib.Path(named)] if named else []
    found += [here.parents[1] / folder / name for folder in ("build", "build/lib")
              for name in (NAME, "libnested.so")]
    return next((path.resolve() for path in found if path.is_file()), None)


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        if self.editable_mode:
            return
        library = built_library()
        target = pathlib.Path(self.build_lib) / "nested" / NAME
        target.unlink(missing_ok=True)  # of an earlier build
        if library:
            self.mkpath(str(target.parent))
            shutil.copyfile(library, target)


class PlatformWheel(bdist_wheel):
    """Any Python 3, but this platform, when the library is inside."""

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = built_library() is None

    def get_tag(self):
        if self.root_is_pure:
            return super().get_tag()
        return "py3", "none", sysconfig.get_platform().replace("-", "_").replace(".", "_")


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel})
