#!/usr/bin/env python3
"""Calls every function of abi.json with every parameter wrong in every way that a host cannot be blamed with a crash for:
NULL, garbage, stale and foreign handles, negative and huge numbers, empty and malformed texts, unaligned pointers, bad
struct_size. A new function of the header is covered as soon as abi.json knows it.

    machine.py libnested.so [calls per function] [seed]

Every call must return, with a status of the header; a failing call must not have written a handle; and the objects
that were used must work afterwards. Prints "ok N", the number of calls.
"""
import ctypes
import os
import random
import sys
import tempfile

from objects import CONFIG, KINDS, Objects

INTEGERS = [0, 0, 1, 1, 2, 3, -1, -2, 7, 1 << 31, -(1 << 31), 1 << 40, 1 << 62, -(1 << 63), (1 << 63) - 1]
BUFFER = 1 << 16


class Machine(Objects):
    def __init__(self, library, seed):
        super().__init__(library)
        self.random = random.Random(seed)
        self.data = ctypes.create_string_buffer(BUFFER + 64)
        self.aligned = (ctypes.addressof(self.data) + 63) // 64 * 64
        self.texts = [ctypes.create_string_buffer(t) for t in (b"", b"{", b"{}", b"/vocab", b"/tmp/no/such", b"\xff", CONFIG)]
        self.structs = []

    def handle(self, kind, right):
        if right:
            return self.live[kind]
        return self.random.choice(
            [0, 0, 1, self.aligned, (1 << 64) - 1, self.random.getrandbits(64)]
            + [v for k, v in self.live.items() if k != kind]
            + list(self.stale.values())
            + [self.live[kind] ^ (1 << self.random.randrange(64))]
        )

    def random_struct(self, name, right):
        """A pointer to a struct: fields zero or random small numbers, pointers inside it NULL or to the buffer."""
        description = self.abi["structs"][name]
        size = description["size"]
        memory = ctypes.create_string_buffer(size + 16)
        self.structs.append(memory)
        for field in description["fields"]:
            offset, type_ = field["offset"], field["type"]
            if field["name"] == "struct_size":
                stamp = size if right or self.random.random() < 0.7 else self.random.choice([0, 3, 8, 65536, (1 << 32) - 1])
                ctypes.c_uint32.from_buffer(memory, offset).value = stamp
            elif "*" in type_:
                kind = type_.replace("nested_", "").replace("*", "").replace("const", "").strip()
                value = 0
                if kind in KINDS:
                    value = self.handle(kind, self.random.random() < 0.3) if self.random.random() < 0.5 else 0
                elif self.random.random() < 0.5:
                    value = self.aligned + self.random.choice([0, 0, 0, 1])
                ctypes.c_uint64.from_buffer(memory, offset).value = value
            elif type_.startswith("nested_"):
                continue  # callbacks stay NULL
            elif self.random.random() < 0.5:
                count = field["size"] // 8 if "[" in type_ else 1
                for i in range(count):
                    value = self.random.choice(INTEGERS)
                    if type_ == "double":
                        ctypes.c_double.from_buffer(memory, offset).value = self.random.choice(
                            [0, 1, -1, 0.5, 1e300, float("nan"), float("inf")])
                    elif field["size"] == 4:
                        ctypes.c_int32.from_buffer(memory, offset).value = max(-(1 << 31), min(value, (1 << 31) - 1))
                    else:
                        ctypes.c_int64.from_buffer(memory, offset + 8 * i).value = value
        return ctypes.addressof(memory)

    def argument(self, parameter, lengths):
        """A value for one parameter; `lengths` are those of the function that tell how much is read."""
        type_, right = parameter["type"], self.random.random() < 0.75
        bare = type_.replace("const", "").replace(" ", "")
        if bare in ["nested_%s*" % k for k in KINDS]:
            return ctypes.c_void_p(self.handle(bare[7:-1], right))
        if bare.endswith("**"):
            if "const" in type_:  # an array of handles
                self.handles = (ctypes.c_uint64 * 8)(*[
                    self.handle("session", self.random.random() < 0.6) for _ in range(8)])
                return ctypes.c_void_p(ctypes.addressof(self.handles)) if right else None
            self.out = ctypes.c_uint64(0x5A5A)
            return ctypes.c_void_p(ctypes.addressof(self.out)) if right else None
        if bare == "char*":
            return ctypes.c_void_p(ctypes.addressof(self.random.choice(self.texts))) if right else None
        if bare.endswith("*") and bare[:-1] in self.abi["structs"]:
            return ctypes.c_void_p(self.random_struct(bare[:-1], right)) if self.random.random() < 0.8 else None
        if bare in self.abi["callbacks"]:
            return None
        if bare.endswith("*"):
            return ctypes.c_void_p(self.aligned + self.random.choice([0, 0, 0, 0, 1, 2])) if right else None
        if bare in ("double", "float"):
            return ctypes.c_double(self.random.choice([0, 1, -1, 0.5, 1e300, float("nan"), float("-inf")]))
        value = self.random.choice(INTEGERS)
        if parameter["name"] in lengths and value > 1 << 32:
            value = -1 if self.random.random() < 0.5 else 1 << 62
        if bare in ("int32_t", "uint32_t"):
            return ctypes.c_int32(max(-(1 << 31), min(value, (1 << 31) - 1)))
        return ctypes.c_int64(value)

    def run(self, calls):
        lengths = ("n", "length", "size", "count", "n_tokens", "capacity", "max_tokens")
        done = 0
        for name, function in self.abi["functions"].items():
            if name.endswith("_release"):
                continue  # handles.c does these; here they would take the objects away
            for _ in range(calls):
                self.structs.clear()
                self.out = None
                arguments = [self.argument(p, lengths) for p in function["parameters"]]
                if not self.safe(name, function, arguments):
                    continue
                ctypes.memset(self.aligned, 0, BUFFER - 64)
                result = self.call(name, *arguments)
                done += 1
                if function["result"] == "nested_status":
                    assert -26 <= result <= 0, (name, result)
                    if self.out is not None:
                        self.collect(name, function, result)
        return done

    def safe(self, name, function, arguments):
        """Lengths must not tell more than the pointer beside them holds, unless they are absurd; nothing may take
        minutes; nothing may change what the objects are made of."""
        if name in ("nested_context_retain", "nested_model_retain", "nested_snapshot_retain"):
            return False
        if name in ("nested_trainer_gradient", "nested_trainer_set_allreduce"):
            return arguments[1] is None or name == "nested_trainer_gradient"
        if name == "nested_context_create":
            if arguments[0] is None or arguments[0].value is None:
                return True
            threads = ctypes.c_int32.from_address(arguments[0].value + 4)
            threads.value = min(threads.value, 3)
        for p, a in zip(function["parameters"], arguments):
            if p["name"] in ("n", "count", "n_tokens", "size", "length", "max_tokens", "capacity") and a.value > 7:
                if a.value < 1 << 60:
                    return False
            if p["name"] == "steps" and 3 < a.value < 1 << 40:
                return False
            if p["type"] == "const nested_batch *" and a is not None and a.value:
                rows = ctypes.c_int64.from_address(a.value + 8).value
                length = ctypes.c_int64.from_address(a.value + 16).value
                if 0 < rows < 1 << 60 and 0 < length < 1 << 60 and rows * length > 8000:
                    return False
            if p["type"] == "const nested_sampling *" and a is not None and a.value:
                for field in self.abi["structs"]["nested_sampling"]["fields"]:
                    if field["name"] == "n_stop_tokens":
                        count = ctypes.c_uint64.from_address(a.value + field["offset"]).value
                        if 7 < count < 1 << 60:
                            return False
            if "view *" in p["type"] and a is not None and a.value:
                shape = [ctypes.c_int64.from_address(a.value + 16 + 8 * i).value for i in range(6)]
                for i in range(6):  # strides that would step out of the buffer
                    if 0 < ctypes.c_int64.from_address(a.value + 64 + 8 * i).value < 1 << 60:
                        ctypes.c_int64.from_address(a.value + 64 + 8 * i).value %= 64
        return True

    def collect(self, name, function, status):
        if status < 0:
            assert self.out.value == 0x5A5A, name + " failed and wrote a handle"
            return
        last = function["parameters"][-1]["type"]
        for kind in KINDS:
            if last.replace(" ", "") == "nested_%s**" % kind:
                self.call("nested_%s_release" % kind, ctypes.c_void_p(self.out.value))

    def still_works(self):
        tokens = (ctypes.c_int32 * 4)(1, 2, 3, 4)
        live = self.live
        self.call("nested_trainer_zero", ctypes.c_void_p(live["trainer"]))
        status = self.call(
            "nested_session_feed", ctypes.c_void_p(live["session"]), tokens, ctypes.c_size_t(4), None, None, None)
        assert status == 0, status
        self.release()


def main():
    library = os.path.abspath(sys.argv[1])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # texts are used as paths too
        machine = Machine(library, seed)
        done = machine.run(int(sys.argv[2]) if len(sys.argv) > 2 else 300)
        machine.still_works()
        os.chdir("/")
    print("ok %d" % done)


if __name__ == "__main__":
    main()
