"""What the machine and the matrix share: the library as abi.json describes it, and one small object of each kind."""
import ctypes
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
KINDS = "context config model trainer session snapshot cancel blob".split()
CONFIG = (
    b'{"kind":"hope","vocab":16,"d_model":16,"n_layers":1,"head_dim":16,"segment":4,'
    b'"memory":{"memory_chunk":4,"projection_chunk":4},'
    b'"cms":{"levels":[{"chunk":4,"hidden":16},{"chunk":0,"hidden":16}]}}'
)
VOCAB = 16
RESULTS = {
    "nested_status": ctypes.c_int32, "int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64, "size_t": ctypes.c_size_t, "void": None,
}


class Objects:
    """`live` and `stale` hold a handle of each kind; the stale ones have been released."""

    def __init__(self, library, abi=HERE / "abi.json"):
        self.library = ctypes.CDLL(library)
        self.abi = json.loads(pathlib.Path(abi).read_text())
        self.live = self.make()
        self.stale = self.make()
        for kind in KINDS:
            self.call("nested_%s_release" % kind, ctypes.c_void_p(self.stale[kind]))

    def call(self, name, *arguments):
        function = getattr(self.library, name)
        function.restype = RESULTS.get(self.abi["functions"][name]["result"], ctypes.c_void_p)
        return function(*arguments)

    def made(self, name, *arguments):
        out = ctypes.c_void_p()
        status = self.call(name, *arguments, ctypes.byref(out))
        assert status == 0, (name, status)
        return out.value

    def struct(self, name, **fields):
        """Memory for a struct, its size and these fields set."""
        description = self.abi["structs"][name]
        memory = ctypes.create_string_buffer(description["size"])
        for field in description["fields"]:
            value = description["size"] if field["name"] == "struct_size" else fields.pop(field["name"], None)
            if value is not None:
                if field["type"] == "double":
                    ctypes.c_double.from_buffer(memory, field["offset"]).value = value
                elif "[" in field["type"]:
                    for i, one in enumerate(value):
                        ctypes.c_int64.from_buffer(memory, field["offset"] + 8 * i).value = one
                else:
                    number = ctypes.c_uint32 if field["size"] == 4 else ctypes.c_uint64
                    number.from_buffer(memory, field["offset"]).value = value
        assert not fields, fields
        return memory

    def make(self):
        new = {"context": self.made("nested_context_create", self.struct("nested_context_options", n_threads=1))}
        new["config"] = self.made("nested_config_from_json", CONFIG, ctypes.c_size_t(len(CONFIG)))
        at = lambda kind: ctypes.c_void_p(new[kind])
        new["model"] = self.made("nested_model_create", at("context"), at("config"), ctypes.c_uint64(1))
        new["trainer"] = self.made("nested_trainer_create", at("model"), None, ctypes.c_size_t(0))
        new["session"] = self.made("nested_session_create", at("model"), None)
        new["snapshot"] = self.made("nested_session_snapshot", at("session"))
        new["cancel"] = self.made("nested_cancel_create")
        new["blob"] = self.made("nested_config_to_json", at("config"), None)
        return new

    def release(self):
        """Everything, and nothing of it is left."""
        for kind in KINDS:
            self.call("nested_%s_release" % kind, ctypes.c_void_p(self.live[kind]))
        left = self.call("nested_live_handles", ctypes.c_int32(0))
        assert left == 0, "%d handles are left" % left
