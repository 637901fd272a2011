"""Import of the optional library FAISS [1], with the fastest OpenBLAS kernels that the processor supports.

[1] Johnson et al., Billion-scale similarity search with GPUs, IEEE Transactions on Big Data 2019.
"""

import importlib.util
import os
import sys
import threading
from pathlib import Path
from typing import Any

CORETYPE = "OPENBLAS_CORETYPE"
"""Environment variable that sets the processor type for which OpenBLAS chooses its kernels."""

KERNELS = {"SkylakeX": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}, "Haswell": {"avx2", "fma"}}
"""Processor type → the CPU flags that its kernels need, the fastest type first."""

_LOADING = threading.Lock()


def has_faiss() -> bool:
    """Return whether FAISS is installed, without importing it, because it loads its own OpenMP."""
    return importlib.util.find_spec("faiss") is not None


def load_faiss() -> Any:
    """Import FAISS and return the module.

    Its wheels contain an OpenBLAS of 2021 that uses kernels of 2004 for a processor that it does not know, which
    takes four times as long. Therefore ``OPENBLAS_CORETYPE`` is set during the import to a type that the
    processor supports, unless the user has set it or has already imported FAISS.

    Raises: ImportError: if FAISS is not installed.
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
    """Return the fastest type of ``KERNELS`` for this processor; None if its CPU flags are unknown."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    return next((name for name, needed in KERNELS.items() if needed <= flags), None)
