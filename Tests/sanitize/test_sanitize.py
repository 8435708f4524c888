"""A slice of `make valgrind` and `make tsan`, and that both report what has been planted. run.py exits with 0 only if they do."""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import run  # noqa: E402


def job(*arguments):
    result = subprocess.run(
        [sys.executable, str(HERE / "run.py"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_valgrind():
    output = job("valgrind", "information", "delta", "leak", "leak-none")
    assert "reported, as it must be" in output and output.count("clean") == 3


def test_thread_sanitizer():
    output = job("tsan", "threads", "race", "race-none")
    assert "reported, as it must be" in output and output.count("clean") == 2


def test_what_is_skipped_exists_and_says_why():
    names = {path.stem for path in (HERE.parent / "c").glob("*.c")}
    for name, jobs in run.SKIPPED.items():
        assert name in names and all(len(why) > 20 and which in run.PLANTED for which, why in jobs.items())


def test_a_report_fails_the_job(tmp_path):
    """The planted leak under another name is a leak like any other."""
    source = tmp_path / "other.c"
    source.write_text('#include "%s"\n' % (HERE / "planted" / "leak.c"))
    run.VALGRIND["other"] = run.VALGRIND["leak"]
    assert "lost" in run.reported("valgrind", source, run.library("valgrind"))
