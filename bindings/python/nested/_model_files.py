"""Models in files and bytes."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any, TypeVar, Union

from . import _library
from ._arrays import Buffer, bytes_array, pointer
from ._config import blob_bytes
from ._context import Context, default_context
from ._errors import check
from ._handle import Handle
from ._library import lib
from ._run import Cancel, ProgressCallback, Run

if TYPE_CHECKING:
    from ._model import Model

__all__ = ["load"]

PathLike = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

Self = TypeVar("Self", bound="ModelFiles")


class ModelFiles(Handle):
    """How a `Model` gets into files and out of them."""

    @classmethod
    def _from(cls: type[Self], handle: ctypes.c_void_p, context: Any) -> Self:
        raise NotImplementedError  # the model's

    def save(
        self, path: PathLike, *, sync: bool = True, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Writes a safetensors file, whole or not at all.

        Parameters
        ----------
        path : path
            Replaced in one step; a crash at any moment leaves the old file or the new one.
        sync : bool, default True
            False skips waiting for the disk.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Raises
        ------
        FileError
            The system refused; ``errno`` says why.

        Examples
        --------
        >>> model.save("model.safetensors")
        >>> bool((nested.load("model.safetensors").parameters == model.parameters).all())
        True
        """
        with Run(progress, cancel) as run:
            check(lib.nested_model_save(
                self._handle, os.fsencode(path), 0 if sync else _library.NESTED_SAVE_NO_SYNC,
                run.pointer))

    def to_bytes(self) -> bytes:
        """The bytes that `save` would write.

        Returns
        -------
        bytes
            A safetensors file.
        """
        out = ctypes.c_void_p()
        check(lib.nested_model_save_blob(self._handle, 0, ctypes.byref(out)))
        return blob_bytes(out)

    @classmethod
    def from_bytes(cls: type[Self], data: Buffer, *, context: Context | None = None) -> Self:
        """Reads what `to_bytes` or `save` wrote.

        Parameters
        ----------
        data : bytes
            Or anything else that is contiguous bytes; copied.
        context : Context, optional
            Threads and memory; by default one context with all cores is shared.

        Returns
        -------
        Model

        Raises
        ------
        FileError
            The bytes are truncated, foreign or damaged.

        Examples
        --------
        >>> nested.Model.from_bytes(model.to_bytes()).fingerprint == model.fingerprint
        True
        """
        context = context or default_context()
        out, buffer = ctypes.c_void_p(), bytes_array(data)
        check(lib.nested_model_load_bytes(
            context._handle, pointer(buffer), buffer.size, 0, ctypes.byref(out)))
        return cls._from(out, context)

    @classmethod
    def load(
        cls: type[Self], path: PathLike, *, mmap: bool = False, context: Context | None = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Self:
        """Reads a model that `save` wrote; `nested.load` is the same and says more.

        Parameters
        ----------
        path : path
            Of a safetensors file.
        mmap : bool, default False
            True maps the file instead of reading it; it must stay as it is while the model lives.
        context : Context, optional
            Threads and memory; by default one context with all cores is shared.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        Model

        Examples
        --------
        >>> model.save("model.safetensors")
        >>> mapped = nested.Model.load("model.safetensors", mmap=True)
        >>> bool((mapped.forward(b"to be") == model.forward(b"to be")).all())
        True
        """
        context = context or default_context()
        out, flags = ctypes.c_void_p(), _library.NESTED_LOAD_MMAP if mmap else 0
        with Run(progress, cancel) as run:
            check(lib.nested_model_load(
                context._handle, os.fsencode(path), flags, run.pointer, ctypes.byref(out)))
            return cls._from(out, context)

    @classmethod
    def from_transformers(
        cls: type[Self], path: PathLike, *, context: Context | None = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Self:
        """Reads a checkpoint of Hugging Face's transformers (``LlamaForCausalLM``).

        Parameters
        ----------
        path : path
            Of a directory with ``config.json`` and ``model.safetensors``, or its index and shards.
        context : Context, optional
            Threads and memory; by default one context with all cores is shared.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        Model
            Of kind "transformer", with the same logits.

        Raises
        ------
        NotFoundError
            There is no such directory, or a file of the checkpoint is missing.
        FileError
            A file is truncated, foreign or damaged.
        UnsupportedError
            It names what this library has no counterpart for.

        Notes
        -----
        Weights may be float32, float16 or bfloat16, tied or not, with grouped heads and with
        ``rope_scaling`` of type "llama3" or "linear".  Neither transformers nor torch is needed.
        """
        context = context or default_context()
        out = ctypes.c_void_p()
        with Run(progress, cancel) as run:
            check(lib.nested_model_import(
                context._handle, os.fsencode(path), run.pointer, ctypes.byref(out)))
            return cls._from(out, context)


def load(
    path: PathLike, *, mmap: bool = False, context: Context | None = None,
    progress: ProgressCallback | None = None, cancel: Cancel | None = None,
) -> Model:
    """Reads a model that `Model.save` wrote.

    Parameters
    ----------
    path : path
        Of a safetensors file.
    mmap : bool, default False
        True maps the file instead of reading it: weights are read when they are used, nothing is
        checked but the header, and processes share the memory.  The file must stay as it is while
        the model lives; a change of the weights copies them first.
    context : Context, optional
        Threads and memory; by default one context with all cores is shared.
    progress : callable, optional
        Called with a `Progress` a few times a second; returning True stops the call.
    cancel : Cancel, optional
        A flag by which another thread may stop the call.

    Returns
    -------
    Model

    Raises
    ------
    NotFoundError
        There is no such file.
    FileError
        The file is truncated, foreign or damaged.
    UnsupportedError
        `mmap`, and the file is not float32 in this library's layout.

    Examples
    --------
    >>> nested.load("missing.safetensors")
    Traceback (most recent call last):
    nested.NotFoundError: ...
    """
    from ._model import Model

    return Model.load(path, mmap=mmap, context=context, progress=progress, cancel=cancel)
