"""Find out how well a visual representation transfers, why, and at what cost.

The Python counterpart of ``transferkit extract`` and ``transferkit probe``::

    features = transferkit.extract("imagenet-lite0", "mini/digits", layers="stages")
    print(transferkit.probe(features, protocol="linear"))

Importing this package is cheap: modules that need torch are imported on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .api import extract, probe
    from .core.errors import TransferkitError
    from .core.features import Features
    from .core.preprocessing import Preprocessing
    from .core.results import Result, Results
    from .models.catalog import load_encoder
    from .probes.estimators import KNNProbe, LinearProbe, PrototypeProbe, RidgeProbe
    from .protocols.dataset_catalog import open_dataset

_MODULES = {
    "extract": "api",
    "probe": "api",
    "load_encoder": "models.catalog",
    "open_dataset": "protocols.dataset_catalog",
    "KNNProbe": "probes.estimators",
    "LinearProbe": "probes.estimators",
    "PrototypeProbe": "probes.estimators",
    "RidgeProbe": "probes.estimators",
    "Features": "core.features",
    "Result": "core.results",
    "Results": "core.results",
    "Preprocessing": "core.preprocessing",
    "TransferkitError": "core.errors",
}

__all__ = [
    "Features",
    "KNNProbe",
    "LinearProbe",
    "Preprocessing",
    "PrototypeProbe",
    "Result",
    "Results",
    "RidgeProbe",
    "TransferkitError",
    "__version__",
    "extract",
    "load_encoder",
    "open_dataset",
    "probe",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
