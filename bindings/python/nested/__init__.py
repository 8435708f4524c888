"""Continually learning sequence models: Hope and the Continuum Memory System, on libnested.

A `Model` is weights.  A `Trainer` changes them.  A `Session` is one stream that reads tokens,
remembers them, and goes on learning while the model stays as it is.  `consolidate` makes a new
model of what sessions have learnt.  Every failure is an `Error`.

Shapes: B sequences of T tokens, vocabulary V.  A token is an integer from 0 to V - 1; ``bytes``
are tokens, one a byte.  Losses are means in nats per target.

The examples of this package know ``import nested`` and ``import numpy as np``; ``text`` is 900
bytes of a play, and ``model`` a small model that was trained on it.

Examples
--------
>>> model = nested.Model({"vocab": 256, "d_model": 32, "n_layers": 1}, seed=0)
>>> trainer = nested.Trainer(model, lr=1e-2, schedule={"type": "constant"})
>>> fit = trainer.fit(text, steps=20, batch=4, length=32)
>>> session = model.session(learn="on")
>>> fed = session.read(b"eins zwei drei vier. " * 20)
>>> wiser = nested.consolidate(model, [session])
>>> wiser.loss(b"eins zwei drei") < model.loss(b"eins zwei drei")
True
"""

import json as _json
from typing import Any as _Any

from ._batch import Evaluation
from ._classifier import Classifier
from ._config import Estimate, config_schema, estimate, full_config
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
from ._levels import Level
from ._library import NESTED_IGNORE_TARGET as IGNORE
from ._library import lib as _lib
from ._model import Model
from ._model_files import load
from ._options import (
    CMSConfig,
    HeadConfig,
    LevelConfig,
    MemoryConfig,
    ModelConfig,
    ParameterGroup,
    RopeScaling,
    Schedule,
    SlowMemory,
    TitansConfig,
    TrainerOptions,
)
from ._regressor import Regressor
from ._run import Cancel, Progress
from ._session import Session
from ._snapshot import Snapshot
from ._stream import Feed, feed_many
from ._tensors import TensorInfo, Tensors
from ._trainer import Fit, Step, Trainer, trainer_schema
from ._version import __version__

__all__ = [
    "ArgumentError", "CMSConfig", "Cancel", "Cancelled", "Classifier", "ConfigError", "Context", "Error",
    "Estimate", "Evaluation", "Feed", "FileError", "Fit", "HeadConfig", "IGNORE", "Level", "LevelConfig", "LogRecord",
    "MemoryConfig", "MemoryLimitError", "MemoryStats", "MismatchError", "Model", "ModelConfig",
    "NotFoundError", "NumericError", "ParameterGroup", "Progress", "Regressor", "RopeScaling", "Schedule", "Session",
    "SlowMemory", "Snapshot", "StateError", "Step", "TensorInfo", "Tensors", "TitansConfig", "Trainer",
    "TrainerOptions",
    "UnsupportedError", "__version__", "build_info", "config_schema", "consolidate",
    "estimate", "feed_many", "full_config", "library_version", "load", "trainer_schema",
]


def library_version() -> str:
    """Version of the library that is loaded.

    Returns
    -------
    str
        For example ``"1.0.0"``.

    Examples
    --------
    >>> nested.library_version().split(".")[0] == nested.__version__.split(".")[0]
    True
    """
    return str(_lib.nested_version_string().decode())


def build_info() -> dict[str, _Any]:
    """How the library was built and what it runs on.

    Returns
    -------
    dict
        Compiler, ``"simd"`` (the kernel class in use), features, licences of what it carries.

    Examples
    --------
    >>> nested.build_info()["simd"] in ("x86-64-v3", "x86-64-v4")
    True
    """
    return dict(_json.loads(_lib.nested_build_info()))


for _name in __all__:  # errors and pickles name the place where users find these
    if getattr(globals()[_name], "__module__", "").startswith("nested."):
        globals()[_name].__module__ = "nested"
