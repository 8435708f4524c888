#!/usr/bin/env python3
"""Writes the first inputs of each target to corpus/<target>/: real files and texts, as small as they get; and json.dict,
the words that libFuzzer may put in.

    seeds.py libnested.so

Names start with `seed-`; what fuzzing added beside them has the hash of its bytes for a name.
"""
import array
import ctypes
import json
import pathlib
import struct
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TINY = {
    "kind": "hope", "vocab": 4, "d_model": 4, "n_layers": 1, "head_dim": 4, "segment": 4,
    "memory": {"memory_chunk": 2, "projection_chunk": 2},
    "cms": {"levels": [{"chunk": 4, "hidden": 4}, {"chunk": 0, "hidden": 4}]},
}
CONFIGURATIONS = {
    "tiny": TINY,
    "preset": {"preset": "hope-1m", "vocab": 64},
    "paper": {"preset": "paper", "vocab": 8, "d_model": 4, "n_layers": 1, "head_dim": 4},
    "mlp": {**TINY, "memory": {"type": "mlp", "memory_chunk": 2, "projection_chunk": 4, "eta_max": 0.1, "expansion": 1}},
    "chunk": {**TINY, "memory": {
        "memory_chunk": 4, "projection_chunk": 2, "read": "chunk", "objective": "dot", "inner_rule": "gd",
        "outer_rule": "decay", "retention": False, "normalize_value": False, "inner_momentum": 0.5,
        "adapt": ["mem"], "adaptive_q": True, "input_projection": "shared"}},
    "levels": {**TINY, "tie_embeddings": False, "norm_eps": 1e-5, "cms": {"levels": [
        {"chunk": 2, "hidden": 4, "optimizer": "adamw", "lr": 0.1, "clip": 0.5},
        {"chunk": 8, "hidden": 4, "optimizer": "momentum"}], "mlp": "gelu"}},
}
TRAINERS = {
    "empty": {},
    "adamw": {
        "optimizer": "adamw", "lr": 3e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0, "accumulate": 2,
        "seed": 7, "schedule": {"type": "cosine", "warmup": 10, "total": 100, "floor": 0.1}},
    "momentum": {
        "optimizer": "momentum", "momentum": 0.9, "schedule": {"type": "constant"},
        "groups": [{"pattern": "blocks.*.cms.*", "lr": 0.5, "weight_decay": 0}, {"pattern": "embed.weigh?", "lr": 0}]},
    "sgd": {"optimizer": "sgd", "schedule": {"type": "warmup", "warmup": 3}},
}
BROKEN = [b"", b"{", b'{"vocab":4,"vocab":4}', b"[" * 40, b'{"vocab":1e999}', b'{"\xff":1}', b"\xef\xbb\xbf{}", b'{"d_model":"\\u0000"}']


class Library:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)

    def __call__(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        assert status == 0, (name, status)

    def made(self, name, *arguments):
        out = ctypes.c_void_p()
        self(name, *arguments, ctypes.byref(out))
        return out

    def bytes(self, name, *arguments):
        blob = self.made(name, *arguments)
        self.library.nested_blob_data.restype = ctypes.c_void_p
        self.library.nested_blob_size.restype = ctypes.c_size_t
        return ctypes.string_at(self.library.nested_blob_data(blob), self.library.nested_blob_size(blob))

    def model(self, context, configuration):
        text = json.dumps(configuration).encode()
        config = self.made("nested_config_from_json", text, ctypes.c_size_t(len(text)))
        return self.made("nested_model_create", context, config, ctypes.c_uint64(1))


def rewritten(file, dtype, metadata=None):
    """The same tensors as another writer would leave them: of another type, without checksum."""
    length, = struct.unpack("<Q", file[:8])
    header, data = json.loads(file[8:8 + length]), file[8 + length:]
    out, new = b"", {"__metadata__": {k: v for k, v in header["__metadata__"].items() if k != "nested.checksum"}}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        floats = array.array("f", data[slice(*entry["data_offsets"])])
        if dtype == "F64":
            values = array.array("d", floats).tobytes()
        elif dtype == "F16":
            values = struct.pack("<%de" % len(floats), *floats)
        elif dtype == "BF16":
            values = b"".join(floats[i:i + 1].tobytes()[2:] for i in range(len(floats)))
        else:
            values = floats.tobytes()
        new[name] = {"dtype": dtype, "shape": entry["shape"], "data_offsets": [len(out), len(out) + len(values)]}
        out += values
    text = json.dumps(new, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + out


LLAMA = {
    "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 4, "vocab_size": 4, "num_hidden_layers": 1,
    "intermediate_size": 4, "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
LLAMA_SCALED = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8}


def checkpoint(configuration, dtype, indexed):
    """What checkpoint.c makes a directory of."""
    layer, shapes = "model.layers.0.", {"model.embed_tokens": [4, 4], "model.norm": [4]}
    shapes.update({layer + "self_attn." + name: shape for name, shape in (
        ("q_proj", [4, 4]), ("k_proj", [2, 4]), ("v_proj", [2, 4]), ("o_proj", [4, 4]))})
    shapes.update({layer + "mlp." + name: [4, 4] for name in ("gate_proj", "up_proj", "down_proj")})
    shapes.update({layer + name: [4] for name in ("input_layernorm", "post_attention_layernorm")})
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = array.array("f", [(i * 7 % 11 - 5) / 4 for i in range(count)]).tobytes()
        if dtype == "BF16":
            values = b"".join(values[i + 2:i + 4] for i in range(0, len(values), 4))
        header[name + ".weight"] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text, config, index = json.dumps(header).encode(), json.dumps(configuration).encode(), b""
    if indexed:
        index = json.dumps({"metadata": {}, "weight_map": {name + ".weight": "a.safetensors" for name in shapes}}).encode()
    return struct.pack("<HH", len(config), len(index)) + config + index + struct.pack("<Q", len(text)) + text + data


def seeds(library):
    yield "checkpoint", "single", checkpoint(LLAMA, "F32", False)
    yield "checkpoint", "indexed", checkpoint(LLAMA, "BF16", True)
    yield "checkpoint", "scaled", checkpoint({**LLAMA, "rope_parameters": LLAMA_SCALED}, "F32", False)
    older = {**LLAMA, "rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    del older["rope_parameters"]
    yield "checkpoint", "older", checkpoint(older, "F32", True)
    for name, configuration in CONFIGURATIONS.items():
        yield "config_json", name, json.dumps(configuration).encode()
    for name, options in TRAINERS.items():
        yield "trainer_json", name, json.dumps(options).encode()
    for i, text in enumerate(BROKEN):
        yield "config_json", "broken-%d" % i, text
        yield "trainer_json", "broken-%d" % i, text

    context = library.made("nested_context_create", None)
    for name, configuration in CONFIGURATIONS.items():
        if name != "preset":
            file = library.bytes("nested_model_save_blob", library.model(context, configuration), ctypes.c_uint32(0))
            yield "model_file", name, file
    model = library.model(context, TINY)
    file = library.bytes("nested_model_save_blob", model, ctypes.c_uint32(0))
    for dtype in ("F32", "F64", "F16", "BF16"):
        yield "model_file", "foreign-" + dtype.lower(), rewritten(file, dtype)

    tokens = (ctypes.c_int32 * 12)(0, 1, 2, 3, 1, 2, 3, 0, 2, 1, 3, 3)
    for learn, length in ((0, 3), (2, 3), (2, 10)):
        options = struct.pack("<IiQ", 16, learn, 7)
        session = library.made("nested_session_create", model, options)
        library("nested_session_feed", session, tokens, ctypes.c_size_t(length), None, None, None)
        snapshot = library.made("nested_session_snapshot", session)
        name = "%d-%d" % (learn, length)
        yield "session_file", name, library.bytes("nested_snapshot_to_blob", snapshot)
        yield "session_file", "delta-" + name, library.bytes("nested_snapshot_delta_to_blob", snapshot)

    batch = struct.pack("<IIqqQQQ", 48, 0, 1, 6, ctypes.addressof(tokens), 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        for name, options in TRAINERS.items():
            text = json.dumps(options).encode()
            model = library.model(context, TINY)
            trainer = library.made("nested_trainer_create", model, text, ctypes.c_size_t(len(text)))
            library("nested_trainer_step", trainer, batch, None, None)
            if name == "sgd":
                library("nested_trainer_accumulate", trainer, batch, None, None)
            path = pathlib.Path(folder) / name
            library("nested_trainer_save", trainer, str(path).encode(), ctypes.c_uint32(0), None)
            yield "trainer_file", name, path.read_bytes()
    yield "api_machine", "zeros", bytes(64)
    yield "api_machine", "count", bytes(range(256))
    yield "api_machine", "every", bytes(i * 37 % 251 for i in range(1024))
    yield "api_machine", "labels", taught(0)
    yield "api_machine", "numbers", taught(1)


def taught(regress):
    """The bytes by which api_machine.c makes a model that reads vectors, and a session of it that is taught, asked and fed."""
    plain = [1, 2, 1, regress, 16]  # one label a row; 3 rows of 2; the last: no twist
    model = [224, 1, 0, 0, regress, *bytes(9), 1]
    session = [5, 0, 0, 0, 0, 0, 0, 0, 0, 2, *bytes(8), 1, 1]
    teach = [224, 4, 1, 1, 0, 0, 0, *plain]
    predict = [224, 6, 1, 1, *plain, 0, 0, 9, 0]
    feed = [224, 2, 1, 1, *plain, 0, 255]
    return bytes([0, *model, *session, *(teach * 3), *predict, *feed])


def words(value):
    """Keys and texts of a schema or a header."""
    if isinstance(value, dict):
        for key, inside in value.items():
            if key == "properties":
                yield from inside
            if key not in ("description", "title", "$schema"):
                yield from words(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from words(inside)
    elif isinstance(value, str):
        yield value


def main():
    library = Library(sys.argv[1])
    found = {"__metadata__", "dtype", "shape", "data_offsets", "F64", "F32", "F16", "BF16", "I64", "I32", "U8", "nested.checksum",
             "nested.config", "nested.content", "nested.version", "nested.fingerprint", "nested.weights", "nested.trainer.options",
             "weight_map", "LlamaForCausalLM", *LLAMA, *LLAMA_SCALED}
    for name in ("nested_config_schema", "nested_trainer_schema"):
        schema = getattr(library.library, name)
        schema.restype = ctypes.c_char_p
        found.update(words(json.loads(schema())))
    for target, name, data in seeds(library):
        (HERE / "corpus" / target).mkdir(parents=True, exist_ok=True)
        (HERE / "corpus" / target / ("seed-" + name)).write_bytes(data)
    lines = ['"\\"%s\\""' % word for word in sorted(found)] + ['"%s"' % text for text in ("1e999", "-1", "9223372036854775807", "{}", "[]")]
    (HERE / "json.dict").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
