#!/usr/bin/env python3
"""Reads include/nested.h through clang and writes everything that must agree with it:

    Sources/NestedABI/exports.map      the names that libnested.so exports, with their version node
    Sources/NestedABI/ABIInfo.swift    the text of nested_abi_info()
    Tests/abi/abi.json                 the same text, for tests and bindings
    bindings/rust/nested-sys/src/bindings.rs   declarations in Rust (to_rust.py)

    generate.py            write them
    generate.py --check    exit 1 and say which differ
    generate.py --swift NestedABI-Swift.h
                           check that the compiler's declarations of the @_cdecl functions agree with the header
                           (-emit-clang-header-path; SwiftPM writes it to <scratch>/<config>/NestedABI.build/include)
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import to_rust

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
HEADER = os.path.join(ROOT, "include", "nested.h")

KEYWORDS = set(
    # C++, Rust, Swift, Python, Go: no parameter or field may be one of these.
    """alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class
    compl concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype
    default delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline int
    long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public register
    reinterpret_cast requires return short signed sizeof static static_assert static_cast struct switch template this
    thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor
    xor_eq as async await crate dyn enum fn impl in let loop match mod move mut pub ref self Self super trait type
    unsafe use where abstract become box do final gen macro override priv unsized yield associatedtype deinit
    extension fileprivate func import init inout internal open precedencegroup protocol rethrows subscript typealias
    var defer fallthrough guard repeat nil Any is throws None True False assert def del elif except from global
    lambda nonlocal pass raise with chan go interface map package range select""".split()
)


def clang():
    found = os.environ.get("CLANG") or shutil.which("clang")
    if not found:
        swift = shutil.which("swift")
        found = swift and os.path.join(os.path.dirname(os.path.realpath(swift)), "clang")
    if not found or not os.path.exists(found):
        sys.exit("generate.py: no clang (set CLANG)")
    return found


def parse(path, *flags):
    dump = subprocess.run(
        [clang(), "-x", "c", "-std=c11", "-fsyntax-only", "-Xclang", "-ast-dump=json", *flags, path],
        check=True, capture_output=True, text=True,
    )
    return json.loads(dump.stdout)["inner"]


def text_type(node):
    return re.sub(r"\s+\*", " *", node["type"]["qualType"]).replace("* *", "**")


def read_header():
    structs, enums, functions, typedefs = {}, {}, {}, {}
    for node in parse(HEADER):
        name = node.get("name", "")
        if node["kind"] == "RecordDecl" and name.startswith("nested_") and node.get("completeDefinition"):
            structs[name] = [
                {"name": f["name"], "type": text_type(f)} for f in node["inner"] if f["kind"] == "FieldDecl"
            ]
        elif node["kind"] == "EnumDecl":
            value = -1
            for item in node["inner"]:
                if item["kind"] != "EnumConstantDecl":
                    continue
                value = constant(item, value + 1)
                enums[item["name"]] = value
        elif node["kind"] == "TypedefDecl" and name.startswith("nested_"):
            typedefs[name] = text_type(node)
        elif node["kind"] == "FunctionDecl" and name.startswith("nested_") and node.get("storageClass") != "static":
            parameters = [p for p in node.get("inner", []) if p["kind"] == "ParmVarDecl"]
            functions[name] = {
                "result": node["type"]["qualType"].split("(")[0].strip(),
                "parameters": [{"name": p["name"], "type": text_type(p)} for p in parameters],
            }
    return structs, enums, functions, typedefs


def constant(item, implicit):
    def find(node):
        if "value" in node:
            return int(node["value"])
        for child in node.get("inner", []):
            found = find(child)
            if found is not None:
                return found
        return None

    found = find(item)
    return implicit if found is None else found


def layouts(structs):
    """sizeof and offsetof as the compiler has them."""
    lines = ['#include <stdio.h>', '#include "nested.h"', "int main(void) {"]
    for name, fields in structs.items():
        lines.append('printf("%s - %%zu 0\\n", sizeof(%s));' % (name, name))
        for f in fields:
            lines.append(
                'printf("%s %s %%zu %%zu\\n", sizeof(((%s *)0)->%s), offsetof(%s, %s));'
                % (name, f["name"], name, f["name"], name, f["name"])
            )
    lines.append("return 0; }")
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "layout.c")
        program = os.path.join(folder, "layout")
        with open(source, "w") as f:
            f.write("\n".join(lines))
        subprocess.run([clang(), "-I", os.path.dirname(HEADER), source, "-o", program], check=True)
        output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    result = {}
    for line in output.splitlines():
        struct, field, size, offset = line.split()
        result[struct, field] = int(size), int(offset)
    return result


def macros():
    """The numeric macros that are API."""
    with open(HEADER) as f:
        text = f.read()
    found = {}
    for name, value in re.findall(r"^#define (NESTED_[A-Z_]+) \(?(-?\d+)\)?(?:\s|$)", text, re.M):
        found[name] = int(value)
    found["NESTED_VERSION"] = (
        found["NESTED_VERSION_MAJOR"] * 1000000 + found["NESTED_VERSION_MINOR"] * 1000 + found["NESTED_VERSION_PATCH"]
    )
    return found


def check_names(structs, functions):
    for struct, fields in structs.items():
        for f in fields:
            if f["name"] in KEYWORDS:
                sys.exit("generate.py: field %s.%s is a keyword somewhere" % (struct, f["name"]))
    for name, function in functions.items():
        for p in function["parameters"]:
            if p["name"] in KEYWORDS:
                sys.exit("generate.py: parameter %s of %s is a keyword somewhere" % (p["name"], name))


def abi_json(structs, constants, functions, typedefs):
    sizes = layouts(structs)
    lines = ["{", '"abi": %d,' % constants["NESTED_ABI"], '"structs": {']
    items = []
    for name, fields in structs.items():
        described = [
            {
                "name": f["name"], "type": f["type"], "size": sizes[name, f["name"]][0],
                "offset": sizes[name, f["name"]][1],
            }
            for f in fields
        ]
        items.append('"%s": %s' % (name, json.dumps({"size": sizes[name, "-"][0], "fields": described})))
    lines += [",\n".join(items), "},", '"callbacks": {']
    callbacks = {n: t for n, t in typedefs.items() if "(*)" in t}
    lines += [",\n".join('"%s": %s' % (n, json.dumps(t)) for n, t in callbacks.items()), "},", '"constants": {']
    lines += [",\n".join('"%s": %d' % item for item in constants.items()), "},", '"functions": {']
    items = []
    for name, function in functions.items():
        described = {"result": function["result"], "parameters": function["parameters"]}
        items.append('"%s": %s' % (name, json.dumps(described)))
    lines += [",\n".join(items), "}", "}"]
    text = "\n".join(lines) + "\n"
    json.loads(text)
    return text


def exports(functions):
    names = "\n".join("    %s;" % name for name in sorted(functions))
    return "/* Generated by Tests/abi/generate.py from include/nested.h. */\nNESTED_1.0 {\n  global:\n%s\n  local: *;\n};\n" % names


def swift(text):
    return (
        "// Generated by Tests/abi/generate.py from include/nested.h.\n\n"
        'let abiInfoText: StaticString = #"""\n%s"""#\n' % text
    )


def outputs():
    structs, enums, functions, typedefs = read_header()
    check_names(structs, functions)
    text = abi_json(structs, {**macros(), **enums}, functions, typedefs)
    return functions, {
        os.path.join(ROOT, "Sources", "NestedABI", "exports.map"): exports(functions),
        os.path.join(ROOT, "Sources", "NestedABI", "ABIInfo.swift"): swift(text),
        os.path.join(HERE, "abi.json"): text,
        os.path.join(ROOT, "bindings", "rust", "nested-sys", "src", "bindings.rs"): to_rust.rust(
            json.loads(text), HANDLES, parse(HEADER), open(HEADER, encoding="ascii").read()),
    }


def check_swift(path):
    """Every function of the header must be there with the same machine types and the same things behind pointers;
    handles are void * in Swift, size_t is Int. The emitted declarations stand under __OBJC__, so they are taken out
    by their first word and given names of their own."""
    with open(path) as f:
        declarations = re.findall(r"^SWIFT_EXTERN (.*?) SWIFT_NOEXCEPT", f.read(), re.M)
    source = ['#include "nested.h"', "typedef long NSInteger;", "#define _Nullable"]
    source += [re.sub(r"\b(nested_\w+)\(", r"swift_\1(", d, count=1) + ";" for d in declarations]
    with tempfile.TemporaryDirectory() as folder:
        probe = os.path.join(folder, "probe.c")
        with open(probe, "w") as f:
            f.write("\n".join(source) + "\n")
        nodes = parse(probe, "-I", os.path.dirname(HEADER), "-Wno-everything")
    shapes = {}
    for node in nodes:
        if node["kind"] == "FunctionDecl" and "nested_" in node["name"] and node.get("storageClass") != "static":
            result = node["type"]["qualType"].split("(")[0]
            shapes[node["name"]] = [essence(result)] + [
                essence(p["type"]["qualType"]) for p in node.get("inner", []) if p["kind"] == "ParmVarDecl"
            ]
    wrong = []
    for name, shape in shapes.items():
        if name.startswith("swift_"):
            if name[len("swift_"):] not in shapes:
                wrong.append("%s is exported but not in the header" % name[len("swift_"):])
        elif "swift_" + name not in shapes:
            wrong.append("%s is not exported by @_cdecl" % name)
        elif shapes["swift_" + name] != shape:
            wrong.append("%s: header %s, Swift %s" % (name, shape, shapes["swift_" + name]))
    return wrong, len(shapes) // 2


HANDLES = "context config model trainer session snapshot cancel blob".split()


def essence(type_):
    type_ = re.sub(r"\bconst\b|\b_Nullable\b|\s", "", type_)
    type_ = re.sub(r"\bnested_(%s)(?=\*)" % "|".join(HANDLES), "void", type_)
    return re.sub(r"\b(size_t|NSInteger|int64_t|long)\b", "i64", type_)


def main():
    functions, files = outputs()
    if len(sys.argv) == 3 and sys.argv[1] == "--swift":
        wrong, count = check_swift(sys.argv[2])
        print("\n".join(wrong) or "%d functions agree" % count)
        return 1 if wrong else 0
    stale = []
    for path, text in files.items():
        current = open(path).read() if os.path.exists(path) else None
        if current == text:
            continue
        stale.append(os.path.relpath(path, ROOT))
        if "--check" not in sys.argv:
            with open(path, "w") as f:
                f.write(text)
    if "--check" in sys.argv and stale:
        print("not current, run Tests/abi/generate.py: " + ", ".join(stale))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
