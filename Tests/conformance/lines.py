"""Lines of a driver: reading, checking against the scenario, comparing with others (README.md has the grammar)."""

import math
import struct

RELATIVE = 2e-4  # between CPU classes; 2e-5 was measured
ABSOLUTE = 1e-5


def read(text):
    """[(id, field, [values])] without the remarks."""
    return [(a, b, rest) for a, b, *rest in (line.split() for line in text.splitlines() if line[:1] != "#")]


def is_float(value):
    return value == "nan" or value.startswith("0x")


def number(value):
    return math.nan if value == "nan" else struct.unpack(">d", bytes.fromhex(value[2:]))[0]


def bits(value):
    return f"0x{struct.pack('>d', value).hex()}"


def differences(got, wanted, same=lambda field, a, b: a == b):
    """What is not the same, in words, the first ten."""
    found = [
        f"line {n}: got {' '.join((a[0], a[1], *a[2]))}\n    wanted {' '.join((b[0], b[1], *b[2]))}"
        for n, (a, b) in enumerate(zip(got, wanted), 1) if a[:2] != b[:2] or not same(a[1], a[2], b[2])]
    if len(got) != len(wanted):
        found.append(f"{len(got)} lines, wanted {len(wanted)}")
    return found[:10]


def close(field, got, wanted):
    """For lines of two CPU classes: floats within the tolerance, hashes of whatever value, the rest the same."""
    if len(got) != len(wanted):
        return False
    # Float32 array (count, hash, sum, sum of squares): a sum may be off by so much of the sum of magnitudes.
    is_array = len(got) == 4 and got[1].startswith("#")
    for at, (a, b) in enumerate(zip(got, wanted)):
        if a.startswith("#") and b.startswith("#") and field != "fingerprint":
            continue
        if not (is_float(a) and is_float(b)) or "nan" in (a, b):
            if a != b:
                return False
            continue
        scale = math.sqrt(int(wanted[0]) * number(wanted[3])) if is_array and at == 2 else abs(number(b))
        if not abs(number(a) - number(b)) <= RELATIVE * scale + ABSOLUTE:
            return False
    return True


def violations(lines, scenario):
    """Where lines are not what the scenario expects of its steps, in words."""
    by_id = {}
    for name, field, values in lines:
        by_id.setdefault(name, []).append((field, values))
    found = []
    for step in scenario["steps"]:
        name, expect = step["id"], step.get("expect", {})
        got = by_id.pop(name, [])
        error = next((" ".join(values) for field, values in got if field == "error"), None)
        wanted = expect.get("error")
        if error != wanted and not (error and wanted and error.startswith(wanted + " ")):
            found.append(f"{name}: error {error}, expected {wanted}")
        if "equals" in expect:
            other = [(field, values) for n, field, values in lines if n == expect["equals"]]
            if not other or got != other:
                found.append(f"{name}: not the same as {expect['equals']}")
    if by_id.pop("end", None) != [("handles", ["0"])]:
        found.append("end: objects were left behind")
    return found + [f"{name}: no such step" for name in by_id]
