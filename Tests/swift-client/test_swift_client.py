"""The Swift package `Nested`, as a user has it: on an installed library, in a folder outside the tree.

The client's own tests are Swift (Tests/ClientTests); here they are built, run, and counted by suite. Besides: the examples run,
everything in the header is bound, and the public surface is what bindings/swift/README.md promises.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree as xml

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "Tests" / "swift-client"
SOURCES = ROOT / "bindings" / "swift" / "Sources" / "Nested"
SUITES = sorted((HERE / "Tests" / "ClientTests").glob("*Tests.swift"))
EXAMPLES = sorted((ROOT / "examples" / "swift").glob("[0-9]*.swift"))


class Tree:
    """An installed library, and copies of the packages beside each other as in the repository."""

    def __init__(self, folder):
        self.folder = folder
        self.prefix = folder / "prefix"
        library = self.prefix / "lib"
        (library / "pkgconfig").mkdir(parents=True)
        (self.prefix / "include").mkdir()
        shutil.copy(ROOT / "include" / "nested.h", self.prefix / "include")
        for file in (ROOT / "build" / "lib").glob("libnested.so*"):
            shutil.copy(file, library, follow_symlinks=False)
        text = (ROOT / "bindings" / "c" / "nested.pc.in").read_text()
        for name, value in (("PREFIX", self.prefix), ("LIBDIR", library), ("VERSION", "1.0.0")):
            text = text.replace(f"@{name}@", str(value))
        (library / "pkgconfig" / "nested.pc").write_text(text)
        for part in ("bindings/swift", "examples/swift", "Tests/swift-client"):
            shutil.copytree(
                ROOT / part, folder / part, symlinks=True, ignore=shutil.ignore_patterns(".build", "Package.resolved"))
        self.environment = dict(
            os.environ, PKG_CONFIG_PATH=str(library / "pkgconfig"), LD_LIBRARY_PATH=str(library))

    def run(self, *command, package=""):
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder / package, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def build(self, package, *options):
        status, output = self.run(
            "swift", "build", "-debug-info-format", "none", *options, package=package)
        assert status == 0, output[-6000:]
        return self.folder / package / ".build" / "debug"


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    tree = Tree(tmp_path_factory.mktemp("swift-client"))
    yield tree
    shutil.rmtree(tree.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def client(tree):
    """{suite: [(test, failure or None)]} of the client's tests. One at a time: some count what is alive in the process."""
    tree.build("Tests/swift-client", "--build-tests")
    _, output = tree.run(
        "swift", "test", "--skip-build", "--disable-xctest", "--no-parallel", "--xunit-output", tree.folder / "report.xml",
        package="Tests/swift-client")
    report = tree.folder / "report.xml"
    assert report.exists(), output[-6000:]
    results = {}
    for case in xml.parse(report).iter("testcase"):
        failure = case.find("failure")
        suite = case.get("classname").split(".")[1]
        results.setdefault(suite, []).append((case.get("name"), None if failure is None else failure.get("message")))
    return results


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_client(client, suite):
    results = client.get(suite.stem, [])
    assert [(name, failure) for name, failure in results if failure] == []
    assert len({name.split("(")[0] for name, _ in results}) == len(re.findall(r"@Test\b", suite.read_text()))


@pytest.fixture(scope="session")
def examples(tree):
    """The numbered ones, and what bindings/swift/README.md begins with."""
    folder = tree.folder / "examples" / "swift"
    snippet = re.search(r"```swift\n(import Nested\n.*?)```", (ROOT / "bindings" / "swift" / "README.md").read_text(), re.S)
    (folder / "readme.swift").write_text(snippet[1])
    package = (folder / "Package.swift").read_text()
    (folder / "Package.swift").write_text(package.replace('let examples = [', 'let examples = ["readme",'))
    return tree.build("examples/swift", "--disable-index-store")


@pytest.mark.parametrize("example", [path.stem for path in EXAMPLES] + ["readme"])
def test_example(tree, examples, example):
    status, output = tree.run(examples / example)
    assert status == 0, output
    assert output.strip()


def test_there_are_as_many_examples_as_in_c():
    in_c = [path.stem for path in sorted((ROOT / "examples" / "c").glob("[0-9]*.c"))]
    # C's tour of the kinds is a test of the client here: ClientTests/KindTests.swift.
    assert [path.stem for path in EXAMPLES] == [name for name in in_c if name != "08_kinds"]


# --- the header, bound -------------------------------------------------------------------------------------------------------

UNBOUND = {
    # copies of a struct share a count that Swift keeps
    "nested_context_retain", "nested_model_retain", "nested_snapshot_retain",
    # pointers into the library; Swift gets copies
    "nested_model_tensor_borrow",
    # numbers are float32, so their size is known; of the versions Swift has the text
    "nested_dtype_size", "nested_version",
    # for bindings that declare things themselves
    "nested_abi_info",
    # one function of JSON values in their place (Configuration.replacing)
    "nested_config_set_int", "nested_config_set_float", "nested_config_set_string",
}
UNNAMED = {
    "NESTED_FINISH_LENGTH", "NESTED_SKIP_NONE",  # what is left
    # kinds go by name; the first task is what is left; no element type but float32, and float64 for the targets of a hook
    "NESTED_KIND_HOPE_ATTENTION", "NESTED_KIND_TITANS", "NESTED_KIND_TRANSFORMER", "NESTED_KIND_RETNET",
    "NESTED_KIND_DELTANET", "NESTED_KIND_GATED_DELTANET", "NESTED_KIND_TTT_LINEAR", "NESTED_KIND_SRWM",
    "NESTED_KIND_TTT_MLP", "NESTED_KIND_CMS",
    "NESTED_TASK_LM", "NESTED_F16", "NESTED_BF16", "NESTED_I64", "NESTED_U8",
    "NESTED_MAX_DIMS", "NESTED_ABI",
}
UNREAD = {
    "callback_code",  # what a closure threw arrives itself
    "strides", "reserved",  # zero
}


@pytest.fixture(scope="session")
def abi():
    return json.loads((ROOT / "Tests" / "abi" / "abi.json").read_text())


@pytest.fixture(scope="session")
def words():
    """Every word of the sources but comments."""
    text = "\n".join(path.read_text() for path in sorted(SOURCES.glob("*.swift")))
    return set(re.findall(r"\w+", re.sub(r"//.*", "", text)))


def test_every_function_is_bound(abi, words):
    assert {name for name in abi["functions"] if name not in words} == UNBOUND


def test_every_constant_is_named(abi, words):
    assert {
        name for name in abi["constants"] if name not in words and not name.startswith("NESTED_VERSION")} == UNNAMED


def test_every_field_is_used(abi, words):
    unused = {
        field["name"] for struct in abi["structs"].values() for field in struct["fields"]} - words
    assert unused == UNREAD


def test_statuses_are_those_of_the_header(abi):
    """Each status of the header has one member, defined by it; and Swift gives it the header's name."""
    text = (SOURCES / "Status.swift").read_text()
    members = re.findall(r"public static let `?\w+`? = Status\((NESTED_E_\w+)\)", text)
    assert sorted(members) == sorted(name for name in abi["constants"] if name.startswith("NESTED_E_"))


# --- the public surface ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def symbols(tree, examples):
    """What the compiler says is public: [(name, declaration, documented)]."""
    target = json.loads(tree.run("swift", "-print-target-info")[1])["target"]["unversionedTriple"]
    status, output = tree.run(
        "swift-symbolgraph-extract", "-module-name", "Nested", "-I", examples / "Modules", "-target", target,
        "-I", "bindings/swift/Sources/CNested", "-Xcc", f"-I{tree.prefix}/include", "-minimum-access-level", "public",
        "-skip-synthesized-members", "-output-dir", tree.folder)
    assert status == 0, output
    graph = json.loads((tree.folder / "Nested.symbols.json").read_text())
    return [
        (".".join(s["pathComponents"]), "".join(part["spelling"] for part in s["declarationFragments"]), "docComment" in s)
        for s in graph["symbols"]]


def test_no_c_and_no_pointer_is_public(symbols):
    assert len(symbols) > 250
    assert [d for _, d, _ in symbols if re.search(r"Unsafe|Opaque|Unmanaged|\bC[A-Z]\w+\b|nested_|NESTED_", d)] == []


def test_everything_public_is_documented(symbols):
    assert [name for name, _, documented in symbols if not documented] == []


def test_errors_are_typed(symbols):
    """Closures of the user may throw anything; functions of the package throw NestedError."""
    throwing = [re.sub(r"\([^()]*\) throws -> ", "", d) for _, d, _ in symbols if "throws" in d]
    assert len(throwing) > 40
    assert [d for d in throwing if re.search(r"throws(?!\(NestedError\))", d)] == []


def test_no_foundation():
    imports = {line for path in SOURCES.glob("*.swift") for line in re.findall(r"import \w+", path.read_text())}
    assert imports == {"import CNested", "import Glibc", "import Musl", "import Darwin"}


def test_the_package_is_clean_to_the_formatter():
    folders = [SOURCES.parent, HERE / "Tests", ROOT / "Tests" / "conformance" / "swift" / "Sources", *EXAMPLES]
    done = subprocess.run(
        ["swift", "format", "lint", "--strict", "--recursive", "--configuration", ROOT / ".swift-format", *folders],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
