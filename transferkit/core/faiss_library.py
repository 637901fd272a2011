"""FAISS [1], which need not be installed, and whose matrix products need to know the processor.

[1] Johnson et al., Billion-scale similarity search with GPUs, IEEE Transactions on Big Data 2019.
"""

import importlib.util
import os
import sys
import threading
from pathlib import Path
from typing import Any

CORETYPE = "OPENBLAS_CORETYPE"
"""The variable by which OpenBLAS is told which processor it runs on."""

KERNELS = {"SkylakeX": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}, "Haswell": {"avx2", "fma"}}
"""Processors that it knows, the best first, and what one has to be able to do to pass for them."""

_LOADING = threading.Lock()


def has_faiss() -> bool:
    """Whether FAISS is installed; it is imported when first needed, as it brings an OpenMP of its own."""
    return importlib.util.find_spec("faiss") is not None


def load_faiss() -> Any:
    """The module.

    Its wheels bring an OpenBLAS of 2021 that takes any processor it has not heard of for one of 2004, and
    then needs four times as long. Unless the user has named one in ``OPENBLAS_CORETYPE``, or has imported
    FAISS already, it is told of one that can do what this one can.

    Raises: ImportError: if it is not installed.
    """
    with _LOADING:
        kernels = None if "faiss" in sys.modules or CORETYPE in os.environ else _kernels()
        if kernels:
            os.environ[CORETYPE] = kernels
        try:
            import faiss
        finally:
            if kernels:
                os.environ.pop(CORETYPE, None)
    return faiss


def _kernels() -> str | None:
    """The best of ``KERNELS`` for this processor; None where it is not known what it can do."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    able = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    return next((name for name, needed in KERNELS.items() if needed <= able), None)
