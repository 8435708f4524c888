"""Continually learning sequence models: Hope and the Continuum Memory System, on libnested.

>>> import nested
>>> model = nested.Model({"preset": "hope-1m"})
>>> nested.Trainer(model).fit(open("corpus.txt", "rb").read(), steps=300, batch=8, length=256)
>>> session = model.session(learn="on")
>>> session.read(open("new.txt", "rb").read())
>>> wiser = nested.consolidate(model, [session])
"""

import json as _json

from ._config import config_schema, full_config
from ._consolidation import consolidate
from ._context import Context, LogRecord, MemoryStats
from ._errors import (
    ArgumentError,
    Cancelled,
    ConfigError,
    Error,
    FileError,
    MemoryLimitError,
    MismatchError,
    NotFoundError,
    NumericError,
    StateError,
    UnsupportedError,
)
from ._library import NESTED_IGNORE_TARGET as IGNORE
from ._library import lib as _lib
from ._model import Evaluation, Model, TensorInfo, Tensors, load
from ._run import Cancel, Progress
from ._session import Feed, Level, Session, Snapshot, feed_many
from ._trainer import Fit, Step, Trainer, trainer_schema
from ._version import __version__

__all__ = [
    "ArgumentError", "Cancel", "Cancelled", "ConfigError", "Context", "Error", "Evaluation",
    "Feed", "FileError", "Fit", "IGNORE", "Level", "LogRecord", "MemoryLimitError",
    "MemoryStats", "MismatchError", "Model", "NotFoundError", "NumericError", "Progress",
    "Session", "Snapshot", "StateError", "Step", "TensorInfo", "Tensors", "Trainer",
    "UnsupportedError", "__version__", "build_info", "config_schema", "consolidate", "feed_many",
    "full_config", "library_version", "load", "trainer_schema",
]


def library_version() -> str:
    """Version of the library that is loaded."""
    return _lib.nested_version_string().decode()  # type: ignore[no-any-return]


def build_info() -> dict:  # type: ignore[type-arg]
    """How the library was built and what it runs on: compiler, kernel class, features."""
    return dict(_json.loads(_lib.nested_build_info()))
