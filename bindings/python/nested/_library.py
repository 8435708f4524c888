"""The C interface as ctypes declarations, and finding the library.

The declarations mirror include/nested.h.  tests/test_library.py compares every field, constant,
callback and parameter, in both directions, with what clang read in the header (`nested_abi_info`),
and the layouts with what a C compiler makes of the header.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

NESTED_ABI = 1
NAME = "libnested.so.1"
NESTED_MAX_DIMS = 6
NESTED_IGNORE_TARGET = -100

NESTED_OK = 0
NESTED_E_INTERNAL = -1
NESTED_E_ARGUMENT = -2
NESTED_E_HANDLE = -3
NESTED_E_RANGE = -4
NESTED_E_SHAPE = -5
NESTED_E_DTYPE = -6
NESTED_E_LAYOUT = -7
NESTED_E_CAPACITY = -8
NESTED_E_NOMEM = -9
NESTED_E_LIMIT = -10
NESTED_E_NOT_FOUND = -11
NESTED_E_EXISTS = -12
NESTED_E_UNSUPPORTED = -13
NESTED_E_VERSION = -14
NESTED_E_CONFIG = -15
NESTED_E_PARSE = -16
NESTED_E_CORRUPT = -17
NESTED_E_IO = -18
NESTED_E_REENTRANT = -19
NESTED_E_CANCELLED = -20
NESTED_E_CALLBACK = -21
NESTED_E_STATE = -22
NESTED_E_NUMERIC = -23
NESTED_E_MISMATCH = -24
NESTED_E_FORKED = -25
NESTED_E_POISONED = -26
NESTED_HANDLE_ANY = 0
NESTED_HANDLE_CONTEXT = 1
NESTED_HANDLE_CONFIG = 2
NESTED_HANDLE_MODEL = 3
NESTED_HANDLE_TRAINER = 4
NESTED_HANDLE_SESSION = 5
NESTED_HANDLE_SNAPSHOT = 6
NESTED_HANDLE_CANCEL = 7
NESTED_HANDLE_BLOB = 8
NESTED_F32 = 1
NESTED_F64 = 2
NESTED_F16 = 3
NESTED_BF16 = 4
NESTED_I32 = 5
NESTED_I64 = 6
NESTED_U8 = 7
NESTED_LOG_OFF = 0
NESTED_LOG_ERROR = 1
NESTED_LOG_WARN = 2
NESTED_LOG_INFO = 3
NESTED_LOG_DEBUG = 4
NESTED_KIND_HOPE = 1
NESTED_KIND_HOPE_ATTENTION = 2
NESTED_KIND_TITANS = 3
NESTED_KIND_TRANSFORMER = 4
NESTED_KIND_RETNET = 5
NESTED_KIND_CMS = 6
NESTED_KIND_DELTANET = 7
NESTED_KIND_GATED_DELTANET = 8
NESTED_KIND_TTT_LINEAR = 9
NESTED_KIND_SRWM = 10
NESTED_KIND_TTT_MLP = 11
NESTED_TASK_LM = 1
NESTED_TASK_CLASSIFY = 2
NESTED_TASK_REGRESS = 3
NESTED_SAVE_NO_SYNC = 1
NESTED_SAVE_DELTA = 2
NESTED_LOAD_MMAP = 1
NESTED_SKIP_NONE = 0
NESTED_SKIP_NO_TARGETS = 1
NESTED_SKIP_NONFINITE = 2
NESTED_LEARN_MEMORY = 0
NESTED_LEARN_OFF = 1
NESTED_LEARN_ON = 2
NESTED_FINISH_LENGTH = 1
NESTED_FINISH_STOP = 2
NESTED_FINISH_CALLBACK = 3


class Sized(Structure):
    """A struct that starts with its own size (rule R8)."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(ctypes.sizeof(type(self)), **fields)


class nested_error(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("status", c_int32), ("os_error", c_int32),
        ("callback_code", c_int32), ("offset", c_int64), ("function", c_char_p),
        ("message", c_char_p), ("place", c_char_p),
    ]


class nested_view(Structure):
    _fields_ = [
        ("data", c_void_p), ("dtype", c_int32), ("ndim", c_int32),
        ("shape", c_int64 * NESTED_MAX_DIMS), ("strides", c_int64 * NESTED_MAX_DIMS),
    ]


class nested_cview(Structure):
    _fields_ = [
        ("data", c_void_p), ("dtype", c_int32), ("ndim", c_int32),
        ("shape", c_int64 * NESTED_MAX_DIMS), ("strides", c_int64 * NESTED_MAX_DIMS),
    ]


class nested_log_record(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("level", c_int32), ("component", c_char_p),
        ("message", c_char_p),
    ]


nested_log_fn = CFUNCTYPE(None, c_void_p, POINTER(nested_log_record))


class nested_context_options(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("n_threads", c_int32), ("memory_limit", c_uint64),
        ("log_level", c_int32), ("reserved", c_int32), ("log", nested_log_fn),
        ("log_user", c_void_p),
    ]


class nested_memory_stats(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("in_use", c_uint64),
        ("peak", c_uint64), ("limit", c_uint64), ("n_allocations", c_uint64),
    ]


class nested_progress(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("stage", c_char_p), ("done", c_uint64),
        ("total", c_uint64), ("elapsed_s", c_double), ("loss", c_double),
    ]


nested_progress_fn = CFUNCTYPE(c_int32, c_void_p, POINTER(nested_progress))


class nested_run(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("interval_ms", c_uint32), ("cancel", c_void_p),
        ("progress", nested_progress_fn), ("user", c_void_p),
    ]


class nested_estimate(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("n_params", c_uint64),
        ("weight_bytes", c_uint64), ("trainer_bytes", c_uint64), ("activation_bytes", c_uint64),
        ("session_bytes", c_uint64), ("flops_forward", c_double), ("flops_train", c_double),
    ]


class nested_model_info(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("kind", c_int32), ("task", c_int32), ("n_layers", c_int32),
        ("n_levels", c_int32), ("dtype", c_int32), ("vocab", c_int64), ("d_model", c_int64),
        ("n_tensors", c_uint64), ("n_params", c_uint64), ("weight_bytes", c_uint64), ("version", c_uint64),
        ("fingerprint", c_uint64), ("n_inputs", c_int64), ("n_outputs", c_int64),
    ]


class nested_tensor_info(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("dtype", c_int32), ("ndim", c_int32), ("layer", c_int32),
        ("level", c_int32), ("reserved", c_int32), ("shape", c_int64 * NESTED_MAX_DIMS),
        ("n_elements", c_uint64), ("flat_offset", c_uint64), ("name", c_char_p),
    ]


class nested_batch(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("n_seq", c_int64),
        ("seq_len", c_int64), ("tokens", c_void_p), ("targets", c_void_p), ("weights", c_void_p),
        ("inputs", POINTER(nested_cview)), ("labels", POINTER(nested_cview)),
    ]


class nested_eval(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("loss", c_double),
        ("perplexity", c_double), ("n_targets", c_double), ("accuracy", c_double),
    ]


class nested_step(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("applied", c_int32), ("skip_reason", c_int32),
        ("reserved", c_int32), ("step", c_uint64), ("n_targets", c_double), ("loss", c_double),
        ("grad_norm", c_double), ("update_norm", c_double), ("lr", c_double),
    ]


nested_allreduce_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t, c_int32)


class nested_fit(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("n_steps", c_uint64),
        ("n_skipped", c_uint64), ("mean_loss", c_double), ("last_loss", c_double),
    ]


class nested_session_options(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("learn", c_int32), ("seed", c_uint64),
    ]


class nested_session_info(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("learn", c_int32), ("position", c_int64), ("seed", c_uint64),
        ("state_bytes", c_uint64), ("n_updates", c_uint64), ("n_skipped", c_uint64),
        ("model_version", c_uint64), ("n_outputs", c_int64),
    ]


class nested_feed(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("n_consumed", c_int64),
        ("loss", c_double), ("n_updates", c_uint64),
    ]


class nested_sampling(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("top_k", c_int32), ("temperature", c_double),
        ("top_p", c_double), ("min_p", c_double), ("repetition_penalty", c_double),
        ("repetition_window", c_int64), ("stop_tokens", c_void_p), ("n_stop_tokens", c_uint64),
        ("logit_bias", c_void_p),
    ]


class nested_token_event(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("token", c_int32), ("index", c_int64), ("logprob", c_double),
    ]


nested_token_fn = CFUNCTYPE(c_int32, c_void_p, POINTER(nested_token_event))


class nested_level(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("layer", c_int32), ("level", c_int32), ("frozen", c_int32),
        ("chunk", c_int64), ("last_update", c_int64), ("next_update", c_int64),
        ("n_updates", c_uint64), ("n_skipped", c_uint64), ("n_params", c_uint64), ("lr", c_double),
        ("weight_norm", c_double), ("delta_norm", c_double), ("last_grad_norm", c_double),
        ("last_update_norm", c_double), ("pending_norm", c_double),
    ]


class nested_level_control(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("frozen", c_int32), ("lr_scale", c_double),
    ]


class nested_consolidation(Sized):
    _fields_ = [
        ("struct_size", c_uint32), ("level_mask", c_uint32), ("strength", c_double),
        ("max_norm", c_double), ("session_weights", c_void_p),
    ]


FUNCTIONS: dict[str, tuple[Any, ...]] = {
    # name: (result, parameters...)
    "nested_status_name": (c_char_p, c_int32),
    "nested_last_error": (c_int32, POINTER(nested_error)),
    "nested_version": (c_uint32,),
    "nested_abi": (c_uint32,),
    "nested_version_string": (c_char_p,),
    "nested_build_info": (c_char_p,),
    "nested_abi_info": (c_char_p,),
    "nested_has_feature": (c_int32, c_char_p),
    "nested_live_handles": (c_int64, c_int32),
    "nested_blob_data": (c_void_p, c_void_p),
    "nested_blob_size": (c_size_t, c_void_p),
    "nested_blob_release": (None, c_void_p),
    "nested_dtype_size": (c_size_t, c_int32),
    "nested_context_create": (c_int32, POINTER(nested_context_options), POINTER(c_void_p)),
    "nested_context_retain": (c_int32, c_void_p),
    "nested_context_release": (None, c_void_p),
    "nested_context_memory": (c_int32, c_void_p, POINTER(nested_memory_stats)),
    "nested_cancel_create": (c_int32, POINTER(c_void_p)),
    "nested_cancel_raise": (c_int32, c_void_p),
    "nested_cancel_clear": (c_int32, c_void_p),
    "nested_cancel_is_raised": (c_int32, c_void_p),
    "nested_cancel_release": (None, c_void_p),
    "nested_config_create": (c_int32, c_int32, POINTER(c_void_p)),
    "nested_config_from_json": (c_int32, c_char_p, c_size_t, POINTER(c_void_p)),
    "nested_config_set_int": (c_int32, c_void_p, c_char_p, c_int64),
    "nested_config_set_float": (c_int32, c_void_p, c_char_p, c_double),
    "nested_config_set_string": (c_int32, c_void_p, c_char_p, c_char_p),
    "nested_config_set_json": (c_int32, c_void_p, c_char_p, c_char_p, c_size_t),
    "nested_config_get_int": (c_int32, c_void_p, c_char_p, POINTER(c_int64)),
    "nested_config_get_float": (c_int32, c_void_p, c_char_p, POINTER(c_double)),
    "nested_config_to_json": (c_int32, c_void_p, c_char_p, POINTER(c_void_p)),
    "nested_config_validate": (c_int32, c_void_p),
    "nested_config_schema": (c_char_p,),
    "nested_config_release": (None, c_void_p),
    "nested_config_estimate": (c_int32, c_void_p, c_int64, c_int64, POINTER(nested_estimate)),
    "nested_model_create": (c_int32, c_void_p, c_void_p, c_uint64, POINTER(c_void_p)),
    "nested_model_clone": (c_int32, c_void_p, POINTER(c_void_p)),
    "nested_model_retain": (c_int32, c_void_p),
    "nested_model_release": (None, c_void_p),
    "nested_model_get_info": (c_int32, c_void_p, POINTER(nested_model_info)),
    "nested_model_get_config": (c_int32, c_void_p, POINTER(c_void_p)),
    "nested_model_tensor_count": (c_int64, c_void_p),
    "nested_model_tensor_at": (c_int32, c_void_p, c_int64, POINTER(nested_tensor_info)),
    "nested_model_tensor_find": (c_int32, c_void_p, c_char_p, POINTER(c_int64)),
    "nested_model_tensor_get": (c_int32, c_void_p, c_int64, POINTER(nested_view)),
    "nested_model_tensor_set": (c_int32, c_void_p, c_int64, POINTER(nested_cview)),
    "nested_model_tensor_borrow": (c_int32, c_void_p, c_int64, POINTER(nested_cview)),
    "nested_model_params_get": (c_int32, c_void_p, c_void_p, c_size_t),
    "nested_model_params_set": (c_int32, c_void_p, c_void_p, c_size_t),
    "nested_model_save": (c_int32, c_void_p, c_char_p, c_uint32, POINTER(nested_run)),
    "nested_model_load": (
        c_int32, c_void_p, c_char_p, c_uint32, POINTER(nested_run), POINTER(c_void_p)),
    "nested_model_save_blob": (c_int32, c_void_p, c_uint32, POINTER(c_void_p)),
    "nested_model_load_bytes": (c_int32, c_void_p, c_void_p, c_size_t, c_uint32, POINTER(c_void_p)),
    "nested_model_import": (
        c_int32, c_void_p, c_char_p, POINTER(nested_run), POINTER(c_void_p)),
    "nested_model_stack": (
        c_int32, c_void_p, c_char_p, c_size_t, c_int32, c_uint64, POINTER(nested_run),
        POINTER(c_void_p)),
    "nested_model_evaluate": (
        c_int32, c_void_p, POINTER(nested_batch), POINTER(nested_run), POINTER(nested_eval)),
    "nested_model_forward": (
        c_int32, c_void_p, POINTER(nested_batch), POINTER(nested_run), POINTER(nested_view)),
    "nested_trainer_create": (c_int32, c_void_p, c_char_p, c_size_t, POINTER(c_void_p)),
    "nested_trainer_schema": (c_char_p,),
    "nested_trainer_get_options": (c_int32, c_void_p, POINTER(c_void_p)),
    "nested_trainer_release": (None, c_void_p),
    "nested_trainer_step": (
        c_int32, c_void_p, POINTER(nested_batch), POINTER(nested_run), POINTER(nested_step)),
    "nested_trainer_accumulate": (
        c_int32, c_void_p, POINTER(nested_batch), POINTER(nested_run), POINTER(nested_eval)),
    "nested_trainer_apply": (c_int32, c_void_p, POINTER(nested_run), POINTER(nested_step)),
    "nested_trainer_zero": (c_int32, c_void_p),
    "nested_trainer_gradient": (c_int32, c_void_p, c_void_p, c_void_p, c_void_p),
    "nested_trainer_set_allreduce": (c_int32, c_void_p, nested_allreduce_fn, c_void_p, c_size_t),
    "nested_trainer_set_lr": (c_int32, c_void_p, c_double),
    "nested_trainer_fit": (
        c_int32, c_void_p, c_void_p, c_size_t, c_int64, c_int64, c_int64, POINTER(nested_run),
        POINTER(nested_fit)),
    "nested_trainer_save": (c_int32, c_void_p, c_char_p, c_uint32, POINTER(nested_run)),
    "nested_trainer_load": (c_int32, c_void_p, c_char_p, POINTER(nested_run)),
    "nested_session_create": (
        c_int32, c_void_p, POINTER(nested_session_options), POINTER(c_void_p)),
    "nested_session_fork": (c_int32, c_void_p, POINTER(c_void_p)),
    "nested_session_reset": (c_int32, c_void_p),
    "nested_session_set_learn": (c_int32, c_void_p, c_int32),
    "nested_session_release": (None, c_void_p),
    "nested_session_get_info": (c_int32, c_void_p, POINTER(nested_session_info)),
    "nested_session_feed": (
        c_int32, c_void_p, c_void_p, c_size_t, POINTER(nested_run), POINTER(nested_view),
        POINTER(nested_feed)),
    "nested_session_feed_vectors": (
        c_int32, c_void_p, POINTER(nested_cview), POINTER(nested_run), POINTER(nested_view),
        POINTER(nested_feed)),
    "nested_session_teach": (
        c_int32, c_void_p, POINTER(nested_batch), POINTER(nested_run), POINTER(nested_eval)),
    "nested_session_predict": (
        c_int32, c_void_p, POINTER(nested_batch), POINTER(nested_run), POINTER(nested_view)),
    "nested_sessions_feed": (
        c_int32, POINTER(c_void_p), c_size_t, c_void_p, POINTER(nested_run), POINTER(nested_view),
        c_void_p),
    "nested_session_output": (c_int32, c_void_p, c_void_p, c_size_t, c_void_p),
    "nested_session_score": (
        c_int32, c_void_p, c_void_p, c_size_t, POINTER(nested_run), c_void_p, c_void_p),
    "nested_session_generate": (
        c_int32, c_void_p, POINTER(nested_sampling), c_size_t, nested_token_fn, c_void_p,
        POINTER(nested_run), c_void_p, c_void_p, c_void_p),
    "nested_session_snapshot": (c_int32, c_void_p, POINTER(c_void_p)),
    "nested_session_restore": (c_int32, c_void_p, c_void_p),
    "nested_snapshot_to_blob": (c_int32, c_void_p, POINTER(c_void_p)),
    "nested_snapshot_delta_to_blob": (c_int32, c_void_p, POINTER(c_void_p)),
    "nested_snapshot_from_bytes": (c_int32, c_void_p, c_void_p, c_size_t, POINTER(c_void_p)),
    "nested_snapshot_retain": (c_int32, c_void_p),
    "nested_snapshot_release": (None, c_void_p),
    "nested_session_save": (c_int32, c_void_p, c_char_p, c_uint32, POINTER(nested_run)),
    "nested_session_load": (c_int32, c_void_p, c_char_p, POINTER(nested_run), POINTER(c_void_p)),
    "nested_session_level": (c_int32, c_void_p, c_int32, c_int32, POINTER(nested_level)),
    "nested_session_level_control": (
        c_int32, c_void_p, c_int32, c_int32, POINTER(nested_level_control)),
    "nested_session_level_flush": (c_int32, c_void_p, c_int32, c_int32),
    "nested_session_level_reset": (c_int32, c_void_p, c_int32, c_int32),
    "nested_model_consolidate": (
        c_int32, c_void_p, POINTER(c_void_p), c_size_t, POINTER(nested_consolidation),
        POINTER(nested_run), POINTER(c_void_p)),
}


def candidates() -> list[str]:
    """Where the library is looked for: NESTED_LIBRARY, this package, the dynamic loader."""
    named = os.environ.get("NESTED_LIBRARY")
    if named:
        return [named]
    beside = pathlib.Path(__file__).resolve().parent / NAME
    return [str(beside)] if beside.exists() else [NAME, "libnested.so"]


def _load() -> ctypes.CDLL:
    reasons = []
    for path in candidates():
        try:
            library = ctypes.CDLL(path)
        except OSError as failure:
            reasons.append(str(failure))
            continue
        try:
            for name, (result, *parameters) in FUNCTIONS.items():
                function = getattr(library, name)
                function.restype = result
                function.argtypes = parameters
        except AttributeError as failure:
            raise ImportError(f"{path} is older than this package: {failure}") from None
        if library.nested_abi() != NESTED_ABI:
            raise ImportError(
                f"{path} has ABI {library.nested_abi()}, this package needs {NESTED_ABI}")
        return library
    raise ImportError(
        "libnested.so was not found: build it with `make`, then set NESTED_LIBRARY to its path "
        "or install this package again (" + "; ".join(reasons) + ")")


lib = _load()
