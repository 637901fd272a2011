"""FAISS [1], which need not be installed, and whose matrix products need to know the processor.

[1] Johnson et al., Billion-scale similarity search with GPUs, IEEE Transactions on Big Data 2019.
"""

import importlib.util
import os
from typing import Any

KERNELS = {"AVX512": "SkylakeX", "AVX2": "Haswell"}
"""By what a processor can do: the name by which OpenBLAS knows products for it."""


def has_faiss() -> bool:
    """Whether FAISS is installed; it is imported when first needed, as it brings an OpenMP of its own."""
    return importlib.util.find_spec("faiss") is not None


def load_faiss() -> Any:
    """The module.

    Its wheels bring an OpenBLAS of 2021 that takes any processor it has not heard of for one of 2004, and
    then needs four times as long. Unless the user has named one in ``OPENBLAS_CORETYPE``, it is told of one
    that can do what this one can.

    Raises: ImportError: if it is not installed.
    """
    import torch  # here, as what looks for duplicates does without

    kernels = KERNELS.get(torch.backends.cpu.get_cpu_capability())
    if kernels is None or "OPENBLAS_CORETYPE" in os.environ:
        import faiss

        return faiss
    os.environ["OPENBLAS_CORETYPE"] = kernels
    try:
        import faiss
    finally:
        del os.environ["OPENBLAS_CORETYPE"]
    return faiss
