"""Estimators in files: a zip archive of JSON and safetensors."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from typing import Any, TypeVar

from . import _library
from ._config import to_json
from ._errors import ArgumentError, FileError, NotFoundError
from ._model import Model
from ._model_files import PathLike
from ._session import Session
from ._snapshot import Snapshot

Kind = TypeVar("Kind")

_ENTRIES = ("estimator.json", "model.safetensors", "session.safetensors")


def save(estimator: Any, path: PathLike) -> None:
    """Writes a temporary file beside `path`, syncs and renames."""
    session: Session = estimator.session_
    state: dict[str, Any] = {
        "format": 1, "class": type(estimator).__name__, "params": estimator.get_params(),
        "features": estimator.n_features_in_}
    if hasattr(estimator, "_ids"):
        state["labels"] = list(estimator._ids)
        for label in state["labels"]:
            if not (label is None or isinstance(label, (str, bool, int, float))):
                raise ArgumentError(
                    f"a label of type {type(label).__name__} cannot be saved: pickle the estimator",
                    place="labels")
    else:
        state["flat"] = estimator._flat
    with session.snapshot() as snapshot:
        contents = (to_json(state, "params"), session.model.to_bytes(), snapshot.to_bytes())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in zip(_ENTRIES, contents):
            archive.writestr(zipfile.ZipInfo(name), data)  # no time: equal states, equal bytes
    try:
        _replace(os.fsdecode(path), buffer.getvalue())
    except OSError as failure:
        raise _refused(failure, path) from None


def _refused(failure: OSError, path: PathLike) -> FileError:
    missing = isinstance(failure, FileNotFoundError)
    return (NotFoundError if missing else FileError)(
        failure.strerror or str(failure), code=_library.NESTED_E_IO, place=os.fsdecode(path),
        os_error=failure.errno or 0)


def _replace(path: str, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(
        prefix=os.path.basename(path) + ".", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load(kind: type[Kind], path: PathLike) -> Kind:
    """Reads what `save` wrote."""
    try:
        with zipfile.ZipFile(os.fsdecode(path)) as archive:
            text, weights, learnt = (archive.read(name) for name in _ENTRIES)
        state = json.loads(text)
        if (state["format"], state["class"]) != (1, kind.__name__):
            raise ValueError(f"it is a {state['class']} of format {state['format']}")
        estimator: Any = kind(**state["params"])
        estimator.n_features_in_ = int(state["features"])
        if "labels" in state:
            estimator._ids = {label: at for at, label in enumerate(state["labels"])}
        else:
            estimator._flat = bool(state["flat"])
    except OSError as failure:
        raise _refused(failure, path) from None
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as failure:
        raise FileError(
            f"this is no saved {kind.__name__}: {failure}", code=_library.NESTED_E_CORRUPT,
            place=os.fsdecode(path)) from None
    model = Model.from_bytes(weights)
    session = model.session()
    with Snapshot.from_bytes(model, learnt) as snapshot:
        session.restore(snapshot)
    estimator._session = session
    return estimator  # type: ignore[no-any-return]
