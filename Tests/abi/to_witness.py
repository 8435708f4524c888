#!/usr/bin/env python3
"""Makes a library with nothing in it but the interface of a header, for abidiff to compare.

    to_witness.py nested.h witness.so    build it
    to_witness.py --baseline             write baseline.h, the header without its comments: at a release, when what
                                         has been added can no longer be taken back

Every function with an empty body, a pointer to every callback and FROZEN struct. What may grow is taken apart, so that abidiff sees an
addition as an addition: a struct with struct_size becomes a variable per field, with its offset in the name, and the type is
opaque in signatures; every constant a variable with its value in the name.

libnested.so itself has no debug information of C types; the compiler's declarations of its functions are compared with the
header by generate.py --swift, so what holds for the header holds for the library.
"""
import os
import re
import subprocess
import sys
import tempfile

import generate

BASELINE = os.path.join(generate.HERE, "baseline.h")


def sources(header):
    """Two C files: signatures and types, in which structs that may grow are opaque; and the offsets of their fields."""
    with open(header) as f:
        text = f.read()
    macros = re.findall(r"^#\s*define (NESTED_[A-Z_]+) \(?(-?\d+)\)?\s*(?:/\*.*)?$", text, re.M)
    constants = {name: int(value) for name, value in macros if not name.startswith("NESTED_VERSION")}
    items, offsets = [], ['#include "%s"' % os.path.abspath(header)]
    for node in generate.parse(header):
        name = node.get("name", "")
        inner = [child for child in node.get("inner", []) if not child["kind"].endswith("Comment")]
        if node["kind"] == "FunctionDecl" and name.startswith("nested_") and node.get("storageClass") != "static":
            result = node["type"]["qualType"].split("(")[0].strip()
            parameters = ", ".join("%s %s" % (p["type"]["qualType"], p["name"]) for p in inner if p["kind"] == "ParmVarDecl")
            body = "" if result == "void" else "return (%s)0; " % result
            items.append("%s %s(%s) { %s}" % (result, name, parameters or "void", body))
        elif node["kind"] == "RecordDecl" and inner and inner[0].get("name") == "struct_size":
            text, n = re.subn(r"typedef struct %s\s*\{[^}]*\}" % name, "typedef struct " + name, text)
            assert n == 1, name
            for field in inner:
                type_, bracket, extent = field["type"]["qualType"].partition("[")
                items.append("%s %s_%s%s%s;" % (type_, name, field["name"], bracket, extent))
                offsets.append("char %s_%s_at[1 + offsetof(%s, %s)];" % (name, field["name"], name, field["name"]))
        elif node["kind"] == "TypedefDecl" and name.startswith("nested_"):
            items.append("%s *pointer_to_%s;" % (name, name))
        elif node["kind"] == "EnumDecl":
            value = -1
            for item in inner:
                if item["kind"] == "EnumConstantDecl":
                    value = constants[item["name"]] = generate.constant(item, value + 1)
    items += ["char %s_is_%s;" % (name.lower(), str(value).replace("-", "minus_")) for name, value in constants.items()]
    return text + "\n".join(items) + "\n", "\n".join(offsets) + "\n"


def build(header, library):
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("signatures.c", "offsets.c")]
        for path, text in zip(paths, sources(header)):
            with open(path, "w") as f:
                f.write(text)
        subprocess.run(
            [generate.clang(), "-g", "-fPIC", "-shared", "-w", "-Wl,-soname,libnested.so.1", *paths, "-o", library], check=True)


def without_comments(header):
    text = subprocess.run(
        ["gcc", "-fpreprocessed", "-dD", "-E", "-P", header], check=True, capture_output=True, text=True).stdout
    return "/* include/nested.h of the last release without its comments: to_witness.py --baseline */\n" + text


def main():
    if sys.argv[1:] == ["--baseline"]:
        with open(BASELINE, "w") as f:
            f.write(without_comments(generate.HEADER))
    elif len(sys.argv) == 3:
        build(*sys.argv[1:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
