#!/usr/bin/env python3
"""One parameter wrong at a time, systematically: every function of abi.json x every parameter x every value of its type that a host
could pass by mistake, every field of every struct that the library reads, and every struct_size.

    matrix.py libnested.so [abi.json]

What is right comes from the tables below, by function and parameter; what is wrong comes from the type, and so does the status
that must answer it, with the exceptions of STATUS. A refused call must leave every object, every out-pointer, the folder
and the number of handles as they were, and tell the function, a sentence and a place. A function, a struct or a type that the
tables do not cover fails the run until it is described. Prints "ok N", the number of calls, or everything that is not so.
"""
import ctypes
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile

from objects import CONFIG, KINDS, VOCAB, Objects

SENTINEL = 0x5A
ROWS, LENGTH, TOKENS = 2, 8, 8
VECTORS = b'{"kind":"cms","inputs":4,"classes":3,"d_model":16,"cms":{"levels":[{"chunk":4,"hidden":16}]}}'
INPUTS, CLASSES = 4, 3
CHECKPOINT = pathlib.Path(__file__).resolve().parents[1] / "peers/fixtures/llama/tied"
CALLBACK_STRUCTS = {"nested_log_record", "nested_progress", "nested_token_event"}  # what the library shows to the host
FROZEN = {"nested_view", "nested_cview"}

# ---- what is right ----------------------------------------------------------------------------------------------

TEXTS = {
    "path": b"new", "pointer": b"/vocab", "json": CONFIG, "name": b"embed.weight", "options": b"{}", "value": b"hope",
}
NUMBERS = {
    "seed": 1, "kind": 1, "length": (1 << 64) - 1, "flags": 0, "index": 0, "steps": 1, "n_seq": 1, "seq_len": 4, "n_tokens": TOKENS,
    "n": TOKENS, "count": 1, "capacity": VOCAB, "max_tokens": 2, "layer": 0, "level": 0, "learn": 0, "bucket_elements": 0,
    "lr": 0.001, "status": 0, "dtype": 1, "handle_kind": 0, "value": VOCAB, "pretrained": 0,
}
# (function, parameter): a text, a number, a shape, or the name of an attribute of Matrix.
RIGHT = {
    ("nested_has_feature", "name"): b"kind.hope",
    ("nested_config_set_float", "pointer"): b"/norm_eps", ("nested_config_set_float", "value"): 1e-6,
    ("nested_config_set_string", "pointer"): b"/kind",
    ("nested_config_set_json", "pointer"): b"/vocab", ("nested_config_set_json", "json"): b"16",
    ("nested_model_tensor_get", "dst"): "tensor_shape", ("nested_model_tensor_set", "src"): "tensor_shape",
    ("nested_model_params_get", "count"): "n_params", ("nested_model_params_set", "count"): "n_params",
    ("nested_model_load", "path"): b"model.saved", ("nested_session_load", "path"): b"session.saved",
    ("nested_trainer_load", "path"): b"trainer.saved",
    ("nested_model_load_bytes", "bytes"): "model_bytes", ("nested_model_load_bytes", "size"): "model_size",
    ("nested_snapshot_from_bytes", "bytes"): "snapshot_bytes", ("nested_snapshot_from_bytes", "size"): "snapshot_size",
    ("nested_model_forward", "dst"): (ROWS, LENGTH, VOCAB),
    ("nested_trainer_create", "model"): "untrained",
    ("nested_session_feed", "logits"): (VOCAB,), ("nested_sessions_feed", "logits"): (1, VOCAB),
    ("nested_model_import", "path"): b"checkpoint.saved",
    ("nested_model_stack", "model"): "transformer", ("nested_model_stack", "cms"): b'{"levels":[{"chunk":4}]}',
    ("nested_session_feed_vectors", "session"): "vectors", ("nested_session_feed_vectors", "inputs"): (TOKENS, INPUTS),
    ("nested_session_feed_vectors", "outputs"): (CLASSES,),
    ("nested_session_teach", "session"): "vectors",
    ("nested_session_predict", "session"): "vectors", ("nested_session_predict", "dst"): (ROWS, CLASSES),
}
LABELLED = {"n_seq": ROWS, "seq_len": LENGTH, "inputs": "inputs", "labels": "labels"}
FIELDS = {  # by struct, or by function and struct
    ("nested_session_teach", "nested_batch"): LABELLED, ("nested_session_predict", "nested_batch"): LABELLED,
    "nested_context_options": {"n_threads": 1},
    "nested_batch": {"n_seq": ROWS, "seq_len": LENGTH, "tokens": "tokens", "targets": "tokens", "weights": "ones"},
    "nested_run": {"cancel": "cancel"},
    "nested_session_options": {},
    "nested_sampling": {
        "top_k": 2, "temperature": 1.0, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.1, "repetition_window": 8,
        "stop_tokens": "tokens", "n_stop_tokens": 1, "logit_bias": "ones"},
    "nested_level_control": {"lr_scale": 1.0},
    "nested_consolidation": {"strength": 1.0, "session_weights": "doubles"},
}

# ---- which status answers what -----------------------------------------------------------------------------------

OPTIONAL = {  # where NULL is allowed: by parameter, or by function and parameter
    "run", "options", "logits", "outputs", "user", "hook", "on_token", "sampling", "logprobs", "out_sum", "out_count", "out_finish", "out_done",
    "out_n_targets", "bucket_elements",
    ("nested_config_to_json", "pointer"), ("nested_session_feed", "out"), ("nested_trainer_step", "out"),
    ("nested_trainer_accumulate", "out"), ("nested_trainer_apply", "out"), ("nested_trainer_fit", "out"),
    ("nested_session_generate", "dst"), ("nested_last_error", "out"), ("nested_model_stack", "cms"),
    ("nested_session_feed_vectors", "out"), ("nested_session_teach", "out"), ("nested_batch", "inputs"), ("nested_batch", "labels"),
    ("nested_batch", "targets"), ("nested_batch", "weights"), ("nested_run", "cancel"), ("nested_sampling", "logit_bias"),
    ("nested_consolidation", "session_weights"),
}
REQUIRED = {("nested_session_output", "out_count"), ("nested_last_error", "out")}

# Where the type's own answer is not the right one: function or struct . parameter or field | values | statuses. `*` stands for any
# owner, or for any value. A function . struct . field is that field in that function's struct.
STATUS = {}
for line in """
*.path | empty | ARGUMENT
*.path | long | RANGE
nested_model_save.path nested_session_save.path nested_trainer_save.path | not text, brace | OK
nested_model_load.path nested_session_load.path nested_trainer_load.path nested_model_import.path | not text, brace | IO
*.flags | 0 | OK
*.flags | max, top | ARGUMENT
*.pointer | long | RANGE
*.pointer | not text, brace | ARGUMENT
*.pointer | empty | CONFIG
nested_config_to_json.pointer | empty | OK
*.json | empty, long, not text, brace | PARSE
*.length | 0 | PARSE
*.length | max | OK
nested_trainer_create.options | long, not text, brace | PARSE
nested_trainer_create.options | empty | OK
nested_trainer_create.length | 0 | OK
nested_model_stack.cms | long, not text, brace | PARSE
nested_model_stack.cms | empty | OK
nested_model_stack.length nested_model_stack.pretrained | 0 | OK
nested_session_teach.nested_batch.inputs nested_session_predict.nested_batch.inputs nested_session_teach.nested_batch.labels | null | ARGUMENT
nested_session_teach.nested_batch.tokens nested_session_predict.nested_batch.tokens | null | OK
nested_session_teach.nested_batch.tokens nested_session_predict.nested_batch.tokens | * | ARGUMENT
nested_session_teach.nested_batch.targets nested_session_predict.nested_batch.targets | null | OK
nested_session_teach.nested_batch.targets nested_session_predict.nested_batch.targets | * | ARGUMENT
nested_session_predict.nested_batch.labels nested_session_predict.nested_batch.weights | * | OK
nested_config_set_string.value | empty, brace | CONFIG
nested_config_set_string.value | long | RANGE
nested_config_set_string.value | not text | ARGUMENT
nested_config_set_int.value | 0 | OK
nested_config_set_int.value | max, -1, min, 2^48 | CONFIG
nested_config_set_float.value | -1, 1e300 | CONFIG
nested_model_tensor_find.name | empty, brace | NOT_FOUND
nested_model_tensor_find.name | long | RANGE
nested_model_tensor_find.name | not text | ARGUMENT
*.index *.layer *.level *.learn | 0 | OK
*.seed *.interval_ms *.level_mask *.bucket_elements | 0, max, top, 2^48 | OK
nested_consolidation.level_mask | max, top | RANGE
nested_trainer_set_allreduce.bucket_elements | max, top | RANGE
nested_model_params_get.count nested_model_params_set.count | * | SHAPE
nested_model_params_set.src | holds -1 | OK
nested_model_load_bytes.size nested_snapshot_from_bytes.size | 0 | CORRUPT
*.n *.n_tokens *.count | 0 | ARGUMENT
nested_session_output.capacity | 0 | CAPACITY
nested_session_output.capacity | 2^48 | OK
nested_session_generate.max_tokens | 0 | OK
nested_trainer_set_lr.lr | -1, 1e300 | OK
nested_session_level_control.layer nested_session_level_flush.layer nested_session_level_reset.layer | -1 | OK
nested_session_level_control.level nested_session_level_flush.level nested_session_level_reset.level | -1 | OK
nested_level_control.frozen | 0, -1 | OK
nested_level_control.lr_scale | 1e300 | OK
nested_consolidation.strength nested_consolidation.max_norm | 1e300 | OK
nested_context_options.n_threads nested_context_options.memory_limit nested_context_options.log_level | 0, 2^48 | OK
nested_batch.struct_size | size 8 | RANGE
nested_sampling.top_k | 0, max | OK
nested_sampling.temperature nested_sampling.repetition_penalty | 1e300 | OK
nested_sampling.repetition_window nested_sampling.n_stop_tokens | 0 | OK
nested_sampling.logit_bias | holds -1 | OK
""".strip().splitlines():
    places, values, statuses = [part.strip() for part in line.split("|")]
    for where in places.split():
        for value in values.split(","):
            STATUS[(*where.split("."), value.strip())] = {"NESTED_OK" if s == "OK" else "NESTED_E_" + s for s in statuses.split()}
# What a refused call says through out-pointers by its comment in the header.
TELLS = {("nested_session_output", "capacity")}


class Wrong:
    """A value with its name in STATUS and the statuses that its type alone allows."""

    def __init__(self, label, value, *statuses):
        self.label, self.value = label, value
        self.statuses = {"NESTED_OK" if s == "OK" else "NESTED_E_" + s for s in statuses}


class Matrix(Objects):
    def __init__(self, library, *abi):
        super().__init__(library, *abi)
        self.random = random.Random(1)
        self.names = {value: name for name, value in self.abi["constants"].items() if re.match("NESTED_(OK|E_)", name)}
        self.memory = []  # what the call in preparation can reach: (address, size)
        self.kept = []  # what the values of a parameter point to
        self.problems, self.done = [], 0
        self.hooks = {name: self.callback(name) for name in self.abi["callbacks"]}
        at = lambda kind: ctypes.c_void_p(self.live[kind])
        info = self.struct("nested_model_info")
        assert self.call("nested_model_get_info", at("model"), info) == 0
        offset = {f["name"]: f["offset"] for f in self.abi["structs"]["nested_model_info"]["fields"]}
        self.n_params = ctypes.c_uint64.from_buffer(info, offset["n_params"]).value
        self.weights = (ctypes.c_float * self.n_params)()
        self.tensor_shape = (self.tensor_elements(),)
        self.first = (ctypes.c_float * self.n_params)()
        assert self.call("nested_model_params_get", at("model"), self.first, ctypes.c_size_t(self.n_params)) == 0
        text = (ctypes.c_int32 * 5)(1, 2, 3, 4, 5)
        assert self.call("nested_session_feed", at("session"), text, ctypes.c_size_t(5), None, None, None) == 0
        self.call("nested_snapshot_release", at("snapshot"))
        self.live["snapshot"] = self.made("nested_session_snapshot", at("session"))
        self.untrained = self.made("nested_model_clone", at("model"))
        self.transformer = self.model_of(CONFIG.replace(b"hope", b"transformer"))
        self.reader = self.model_of(VECTORS)
        self.vectors = self.made("nested_session_create", ctypes.c_void_p(self.reader), None)
        self.vectors_before = self.made("nested_session_snapshot", ctypes.c_void_p(self.vectors))
        shutil.copytree(CHECKPOINT, "checkpoint.saved")
        self.model_bytes = self.taken("nested_model_save_blob", at("model"), ctypes.c_uint32(0))
        self.snapshot_bytes = self.taken("nested_snapshot_to_blob", at("snapshot"))
        self.model_size, self.snapshot_size = len(self.model_bytes), len(self.snapshot_bytes)
        for kind in ("model", "session", "trainer"):
            arguments = [at(kind), ctypes.c_char_p(b"%s.saved" % kind.encode()), ctypes.c_uint32(1), None]
            assert self.call("nested_%s_save" % kind, *arguments) == 0

    def model_of(self, json):
        config = ctypes.c_void_p(self.made("nested_config_from_json", json, ctypes.c_size_t(len(json))))
        model = self.made("nested_model_create", ctypes.c_void_p(self.live["context"]), config, ctypes.c_uint64(1))
        self.call("nested_config_release", config)
        return model

    def session_bytes(self, session):
        snapshot = ctypes.c_void_p(self.made("nested_session_snapshot", ctypes.c_void_p(session)))
        bytes_ = self.taken("nested_snapshot_to_blob", snapshot)
        self.call("nested_snapshot_release", snapshot)
        return bytes_

    def tensor_elements(self):
        info = self.struct("nested_tensor_info")
        assert self.call("nested_model_tensor_at", ctypes.c_void_p(self.live["model"]), ctypes.c_int64(0), info) == 0
        offset = {f["name"]: f["offset"] for f in self.abi["structs"]["nested_tensor_info"]["fields"]}
        return ctypes.c_uint64.from_buffer(info, offset["n_elements"]).value

    def callback(self, name):
        kinds = {"int32_t": ctypes.c_int32, "void": None, "size_t": ctypes.c_size_t}
        result, parameters = re.match(r"(\w+) \(\*\)\((.*)\)", self.abi["callbacks"][name]).groups()
        types = [ctypes.c_void_p if "*" in p else kinds[p] for p in parameters.split(", ")]
        return ctypes.CFUNCTYPE(kinds[result], *types)(lambda *_: None if kinds[result] is None else 0)

    def taken(self, name, *arguments):
        """The bytes of a blob that the function makes."""
        blob = ctypes.c_void_p(self.made(name, *arguments))
        bytes_ = ctypes.string_at(self.call("nested_blob_data", blob), self.call("nested_blob_size", blob))
        self.call("nested_blob_release", blob)
        return bytes_

    def state(self):
        """Everything that a refused call must leave alone."""
        at = lambda kind: ctypes.c_void_p(self.live[kind])
        assert self.call("nested_model_params_get", at("model"), self.weights, ctypes.c_size_t(self.n_params)) == 0
        session = self.session_bytes(self.live["session"]) + self.session_bytes(self.vectors)
        assert self.call("nested_trainer_save", at("trainer"), ctypes.c_char_p(b"state"), ctypes.c_uint32(1), None) == 0
        with open("state", "rb") as file:
            trainer = file.read()
        return (
            bytes(self.weights), session, trainer, self.taken("nested_config_to_json", at("config"), None),
            self.taken("nested_snapshot_to_blob", at("snapshot")), self.call("nested_cancel_is_raised", at("cancel")),
            tuple(self.call("nested_live_handles", ctypes.c_int32(kind)) for kind in range(9)), sorted(os.listdir(".")))

    def prepare(self):
        """The objects are what they were made as: after a call that did something."""
        at = lambda kind: ctypes.c_void_p(self.live[kind])
        assert self.call("nested_model_params_set", at("model"), self.first, ctypes.c_size_t(self.n_params)) == 0
        assert self.call("nested_trainer_load", at("trainer"), ctypes.c_char_p(b"trainer.saved"), None) == 0
        assert self.call("nested_trainer_set_lr", at("trainer"), ctypes.c_double(-1)) == 0
        assert self.call("nested_cancel_clear", at("cancel")) == 0
        assert self.call("nested_session_restore", at("session"), at("snapshot")) == 0
        before = ctypes.c_void_p(self.vectors_before)
        assert self.call("nested_session_restore", ctypes.c_void_p(self.vectors), before) == 0
        self.call("nested_config_release", at("config"))
        self.live["config"] = self.made("nested_config_from_json", CONFIG, ctypes.c_size_t(len(CONFIG)))
        for name in os.listdir("."):
            if name != "state" and not name.endswith(".saved"):
                os.remove(name)
        return self.state()

    # ---- values ----

    def bytes_at(self, content, shift=0, room=0):
        """An address of these bytes, watched. It is aligned to 64 and then moved by `shift`."""
        memory = ctypes.create_string_buffer(len(content) + room + 192)
        address = (ctypes.addressof(memory) + 127) // 64 * 64 + shift
        ctypes.memset(address, SENTINEL, len(content) + room)
        ctypes.memmove(address, content, len(content))
        self.kept.append(memory)
        self.memory.append((ctypes.addressof(memory), len(memory)))
        return address

    def array(self, type_, *values, shift=0):
        return self.bytes_at(bytes((type_ * len(values))(*values)), shift)

    def named(self, what):
        """What the tables call by name."""
        if what == "tokens":
            return self.array(ctypes.c_int32, *[i % VOCAB for i in range(ROWS * LENGTH)])
        if what == "ones":
            return self.array(ctypes.c_float, *[1.0] * max(VOCAB, ROWS * LENGTH))
        if what == "doubles":
            return self.array(ctypes.c_double, 1.0, 1.0)
        if what == "inputs":
            return self.struct_at("nested_cview", shape=(ROWS, LENGTH, INPUTS))
        if what == "labels":
            return self.struct_at("nested_cview", {"dtype": 5}, shape=(ROWS,))
        if what == "cancel":
            return self.live["cancel"]
        value = getattr(self, what)
        return self.bytes_at(value) if isinstance(value, bytes) else value

    def struct_at(self, name, changes=(), shape=None, size=None, shift=0):
        """An address of a right struct with some fields changed."""
        fields = dict(FIELDS.get((self.function, name), FIELDS.get(name, {})))
        if shape is not None:
            count = 1
            for extent in shape:
                count *= extent
            fields.update(dtype=1, ndim=len(shape), shape=shape, data=self.bytes_at(bytes(4 * count)))
        fields = {k: self.named(v) if isinstance(v, str) else v for k, v in fields.items()}
        fields.update(changes)
        memory = bytearray(self.struct(name, **fields))
        if size is not None:
            memory[:4] = size.to_bytes(4, "little")
        return self.bytes_at(bytes(memory), shift, room=64)

    def right(self, function, parameter):
        """A value as an integer or a float, or None where the tables say nothing."""
        name, type_ = parameter["name"], parameter["type"]
        bare = type_.replace("const", "").replace(" ", "").rstrip("*")
        special = RIGHT.get((function, name))
        stars = type_.count("*")
        if bare[7:] in KINDS and stars == 1:
            return self.live[bare[7:]] if special is None else getattr(self, special)
        if bare[7:] in KINDS and "const *" in type_:
            return self.array(ctypes.c_uint64, self.live[bare[7:]])
        if stars == 2:
            return self.bytes_at(b"", room=8)
        if bare in self.abi["structs"]:
            if bare in FROZEN and "const" in type_:
                shape = special if isinstance(special, tuple) else getattr(self, special) if special else None
                return None if shape is None else self.struct_at(bare, shape=shape)
            if "const" in type_:
                return self.struct_at(bare) if bare in FIELDS else None
            size = self.abi["structs"][bare]["size"]
            return self.bytes_at(b"" if bare in FROZEN else size.to_bytes(4, "little"), room=size)
        if bare in self.abi["callbacks"]:
            return ctypes.cast(self.hooks[bare], ctypes.c_void_p).value
        if type_ == "const char *":
            text = special or TEXTS.get(name)
            return None if text is None else self.bytes_at(text + b"\0")
        if type_ == "const int32_t *":
            return self.named("tokens")
        if type_ == "const float *":
            return self.bytes_at(bytes(self.weights))
        if type_ == "const void *":
            return None if special is None else self.named(special)
        if type_ == "void *":
            return 0
        if stars:
            return self.bytes_at(b"", room=4 * self.n_params)
        number = special if special is not None else NUMBERS.get(name)
        return getattr(self, number) if isinstance(number, str) else number

    def wrong(self, owner, name, type_):
        """Every mistake for one parameter or field of this type."""
        bare = type_.replace("const", "").replace(" ", "").rstrip("*")
        stars = type_.count("*")
        optional = (name in OPTIONAL or (owner, name) in OPTIONAL) and (owner, name) not in REQUIRED
        null = Wrong("null", 0, "OK" if optional else "ARGUMENT")
        addresses = [null] + [
            Wrong(label, value, "ARGUMENT") for label, value in (("one", 1), ("minus one", (1 << 64) - 1), ("top", 1 << 63))]
        if bare[7:] in KINDS and stars == 1:
            yield from self.wrong_handles(bare[7:], optional)
        elif bare[7:] in KINDS and "const *" in type_:
            yield from addresses
            yield Wrong("unaligned", self.array(ctypes.c_uint64, self.live[bare[7:]], shift=1), "LAYOUT")
            for one in self.wrong_handles(bare[7:], False):
                yield Wrong("holds " + one.label, self.array(ctypes.c_uint64, one.value), "HANDLE")
        elif stars == 2:
            yield from addresses
            yield Wrong("unaligned", self.bytes_at(b"", 1, room=8), "LAYOUT")
        elif bare in self.abi["structs"]:
            yield from addresses
            if bare not in FROZEN:  # read and written byte by byte
                moved = self.struct_at(bare, shift=1) if "const" in type_ else self.bytes_at(self.struct(bare), 1)
                yield Wrong("unaligned", moved, "OK")
            elif "const" not in type_:
                yield Wrong("unaligned", self.bytes_at(b"", 1, room=self.abi["structs"][bare]["size"]), "LAYOUT")
        elif bare in self.abi["callbacks"]:
            yield Wrong("null", 0, "OK")
        elif type_ == "const char *":
            yield from addresses
            for label, text in (("empty", b""), ("long", b"a" * 5000), ("not text", b"\xff"), ("brace", b"{")):
                yield Wrong(label, self.bytes_at(text + b"\0"))
        elif type_ == "const int32_t *":
            yield from addresses
            yield Wrong("unaligned", self.named("tokens") + 1, "LAYOUT")
            for value in (-1, VOCAB, -(1 << 31), (1 << 31) - 1):
                yield Wrong("holds %d" % value, self.array(ctypes.c_int32, value, *[1] * (ROWS * LENGTH)), "RANGE")
        elif type_ in ("const float *", "const double *"):
            number = ctypes.c_float if "float" in type_ else ctypes.c_double
            yield from addresses
            yield Wrong("unaligned", self.bytes_at(bytes(8 * self.n_params + 8)) + 1, "LAYOUT")
            for value in ("nan", "inf"):
                yield Wrong("holds " + value, self.array(number, float(value), *[1] * self.n_params), "NUMERIC")
            yield Wrong("holds -1", self.array(number, -1, *[1] * self.n_params), "RANGE")
        elif type_ == "const void *":
            yield from addresses
        elif type_ == "void *":
            if name == "data":
                yield from addresses
                yield Wrong("unaligned", self.bytes_at(bytes(8 * self.n_params)) + 1, "LAYOUT")
            # `user` belongs to the host: anything is right.
        elif stars:
            yield from addresses
            yield Wrong("unaligned", self.bytes_at(b"", 1, room=4 * self.n_params), "LAYOUT")
        elif type_ == "double":
            for label in ("nan", "inf", "-inf"):
                yield Wrong(label, float(label), "NUMERIC")
            for label in ("-1", "1e300"):
                yield Wrong(label, float(label), "RANGE")
        elif type_ == "int64_t[6]":
            return
        else:
            bits = 32 if "32" in type_ or type_ == "nested_status" else 64
            signed = not type_.startswith(("u", "size"))
            yield Wrong("0", 0, "RANGE")
            yield Wrong("max", (1 << (bits - signed)) - 1, "RANGE")
            if signed:
                yield Wrong("-1", -1, "RANGE")
                yield Wrong("min", -(1 << (bits - 1)), "RANGE")
            else:
                yield Wrong("top", 1 << (bits - 1), "RANGE")
            if bits == 64:
                yield Wrong("2^48", 1 << 48, "RANGE")

    def wrong_handles(self, kind, optional):
        live = self.live[kind]
        yield Wrong("null", 0, "OK" if optional else "HANDLE")
        values = {"one": 1, "minus one": (1 << 64) - 1, "top": 1 << 63, "random": self.random.getrandbits(64),
                  "address": self.bytes_at(bytes(64)), "stale": self.stale[kind],
                  "generation": live ^ 1 << 32, "slot": live ^ 1 << 20, "kind": live ^ 1 << 56}
        values.update({"a " + k: self.live[k] for k in KINDS if k != kind})
        for label, value in values.items():
            yield Wrong(label, value, "HANDLE")

    def view_changes(self):
        """Views that cannot be: (label, fields, statuses)."""
        yield Wrong("dtype", {"dtype": 0}, "DTYPE")
        yield Wrong("dtype", {"dtype": 5}, "DTYPE")
        yield Wrong("dtype", {"dtype": (1 << 32) - 1}, "DTYPE")
        for ndim in (0, 7, 1 << 31, (1 << 32) - 1):
            yield Wrong("ndim", {"ndim": ndim}, "SHAPE")
        for extent in (0, (1 << 64) - 1, 1 << 63, (1 << 63) - 1, 1 << 40):
            yield Wrong("shape", {"shape": [extent]}, "SHAPE")
        for stride in (2, (1 << 64) - 4, 1 << 63, (1 << 63) - 4):
            yield Wrong("strides", {"strides": [stride] * 3}, "LAYOUT")

    # ---- calls ----

    def c(self, type_, value):
        if type_ == "double":
            return ctypes.c_double(value)
        if "*" in type_ or type_ in self.abi["callbacks"]:
            return ctypes.c_void_p(value)
        return ctypes.c_uint64(value & (1 << 64) - 1) if "64" in type_ or type_ == "size_t" else ctypes.c_uint32(value & (1 << 32) - 1)

    def problem(self, function, name, label, what):
        self.problems.append("%s, %s %s: %s" % (function, name, label, what))

    def attempt(self, function, values, name, label, statuses):
        """One call. `statuses` are what may come back."""
        description = self.abi["functions"][function]
        arguments = [self.c(p["type"], v) for p, v in zip(description["parameters"], values)]
        contents = [ctypes.string_at(address, size) for address, size in self.memory]
        result = self.call(function, *arguments)
        self.done += 1
        if description["result"] != "nested_status":
            return result
        status = self.names.get(result, str(result))
        if status not in statuses:
            self.problem(function, name, label, "%s, not %s" % (status, " or ".join(sorted(statuses))))
        if result == 0:
            self.undo(function, description, values)
            self.before = self.prepare()
            return result
        if (function, name) not in TELLS and contents != [ctypes.string_at(address, size) for address, size in self.memory]:
            self.problem(function, name, label, "refused, and wrote into the host's memory")
        if function != "nested_last_error":
            error = self.struct("nested_error")
            assert self.call("nested_last_error", error) == 0
            fields = {f["name"]: f["offset"] for f in self.abi["structs"]["nested_error"]["fields"]}
            offset = ctypes.c_int64.from_buffer(error, fields["offset"]).value
            text = lambda field: ctypes.string_at(ctypes.c_uint64.from_buffer(error, fields[field]).value)
            if ctypes.c_int32.from_buffer(error, fields["status"]).value != result or text("function") != function.encode():
                self.problem(function, name, label, "the last error is another")
            # The place is empty where it is the whole of a JSON document, or where a byte offset tells it.
            if not text("message") or not text("place") and offset < 0 and status != "NESTED_E_CONFIG" and label != "empty":
                self.problem(function, name, label, "the last error has no message or no place: %s" % text("message"))
        now = self.state()
        if now != self.before:
            self.problem(function, name, label, "refused, and changed something")
            self.before = self.prepare()
        return result

    def undo(self, function, description, values):
        """What a call made is released."""
        for parameter, value in zip(description["parameters"], values):
            kind = parameter["type"].replace(" ", "").rstrip("*")[7:]
            if parameter["type"].count("*") == 2 and kind in KINDS and "const" not in parameter["type"]:
                self.call("nested_%s_release" % kind, ctypes.c_void_p(ctypes.c_uint64.from_address(value).value))
        if function.endswith("_retain"):
            self.call(function.replace("_retain", "_release"), ctypes.c_void_p(values[0]))

    def fresh(self, function):
        """Right values for all parameters, or None with a complaint."""
        self.memory.clear()
        self.function = function
        parameters = self.abi["functions"][function]["parameters"]
        values = [self.right(function, p) for p in parameters]
        missing = [p["name"] for p, v in zip(parameters, values) if v is None]
        if missing:
            self.problem(function, ", ".join(missing), "", "describe what is right in matrix.py")
            return None
        return values

    def expected(self, owner, name, one):
        special = (self.function, owner, name)
        for key in ((*special, one.label), (*special, "*"), (owner, name, one.label), (owner, name, "*"), ("*", name, one.label)):
            if key in STATUS:
                return STATUS[key]
        return one.statuses

    def cover(self, function):
        description = self.abi["functions"][function]
        is_release = description["result"] == "void"
        values = self.fresh(function)
        if values is None:
            return
        if not is_release:
            right = self.attempt(function, values, "everything", "right", {"NESTED_OK"})
            if right == 0 and description["result"] not in ("nested_status", "int32_t"):
                self.problem(function, "everything", "right", "no result")
        for i, parameter in enumerate(description["parameters"]):
            name, type_ = parameter["name"], parameter["type"]
            self.kept.clear()
            for one in list(self.wrong(function, name, type_)):
                self.one(function, i, lambda _, one=one: one.value, name, one, self.expected(function, name, one))
            bare = type_.replace("const", "").replace(" ", "").rstrip("*")
            if bare in self.abi["structs"] and bare not in FROZEN:
                self.cover_sizes(function, i, bare)
            if bare in self.abi["structs"] and "const" in type_:
                self.cover_fields(function, i, bare)

    def one(self, function, i, make, name, one, statuses):
        values = self.fresh(function)
        values[i] = make(values[i])
        result = self.attempt(function, values, name, one.label, statuses)
        description = self.abi["functions"][function]
        if description["result"] == "void":
            if self.state() != self.before:
                self.problem(function, name, one.label, "released something")
        elif description["result"] != "nested_status" and "NESTED_E_HANDLE" in statuses and result not in (0, None):
            self.problem(function, name, one.label, "%s of no object" % result)

    def cover_sizes(self, function, i, struct):
        size = self.abi["structs"][struct]["size"]
        is_input = "const" in self.abi["functions"][function]["parameters"][i]["type"]
        for label, stamp, tail, statuses in (
                ("size 0", 0, 0, "ARGUMENT"), ("size 3", 3, 0, "ARGUMENT"), ("size 7", 7, 0, "ARGUMENT"), ("size exact", size, 0, "OK"),
                ("size + 8, zero tail", size + 8, 0, "OK"), ("size + 8, dirty tail", size + 8, 1, "VERSION"),
                ("size 65536", 65536, 0, "VERSION"), ("size 2^32 - 1", (1 << 32) - 1, 0, "VERSION"), ("size 8", 8, SENTINEL, "OK")):
            def make(_):
                memory = bytearray(ctypes.string_at(self.struct_at(struct) if is_input else self.bytes_at(b"", room=size), size))
                memory[:4] = stamp.to_bytes(4, "little")
                if stamp == 8 and not is_input:
                    memory[8:] = bytes([SENTINEL]) * (size - 8)
                return self.bytes_at(bytes(memory) + bytes([tail]) + bytes([0] * 63))
            one = Wrong(label, None, statuses)
            address = []
            self.one(function, i, lambda v: address.append(make(v)) or address[0], struct, one, self.expected(struct, "struct_size", one))
            if stamp == 8 and not is_input and ctypes.string_at(address[0] + 8, size - 8) != bytes([SENTINEL]) * (size - 8):
                self.problem(function, struct, label, "wrote past the end of an older struct")

    def cover_fields(self, function, i, struct):
        shape = RIGHT.get((function, self.abi["functions"][function]["parameters"][i]["name"]))
        shape = getattr(self, shape) if isinstance(shape, str) else shape
        changes = [(one.label, one) for one in self.view_changes()] if struct in FROZEN else []
        for field in self.abi["structs"][struct]["fields"]:
            if field["name"] == "struct_size" or struct in FROZEN and field["name"] != "data":
                continue
            for one in list(self.wrong(struct, field["name"], field["type"])):
                if field["name"] == "reserved":
                    one.statuses = {"NESTED_OK"} if one.value == 0 else {"NESTED_E_ARGUMENT"}
                changed = Wrong(one.label, {field["name"]: one.value})
                changed.statuses = one.statuses
                changes.append((field["name"], changed))
        for name, one in changes:
            self.one(function, i, lambda _, one=one: self.struct_at(struct, one.value, shape), struct + "." + name, one,
                     self.expected(struct, name, one))

    def run(self):
        self.before = self.prepare()
        parameters = [(f, p) for f, d in self.abi["functions"].items() for p in d["parameters"]]
        used = {p["type"].replace("const", "").strip(" *") for _, p in parameters}
        for name in set(self.abi["structs"]) - used - CALLBACK_STRUCTS:
            self.problem(name, "", "", "a struct that no function takes: say in matrix.py who reads it")
        for function in self.abi["functions"]:
            self.cover(function)
        self.call("nested_snapshot_release", ctypes.c_void_p(self.vectors_before))
        self.call("nested_session_release", ctypes.c_void_p(self.vectors))
        for model in (self.untrained, self.transformer, self.reader):
            self.call("nested_model_release", ctypes.c_void_p(model))


def main():
    paths = [os.path.abspath(path) for path in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        matrix = Matrix(*paths)
        matrix.run()
        matrix.release()
        os.chdir("/")
    for line in matrix.problems:
        print(line)
    if matrix.problems:
        sys.exit("%d of %d calls" % (len(matrix.problems), matrix.done))
    print("ok %d" % matrix.done)


if __name__ == "__main__":
    main()
