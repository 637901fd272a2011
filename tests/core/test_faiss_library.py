import os
import subprocess
import sys

import pytest
import torch

TOLD = """
import os
from transferkit.core.faiss_library import load_faiss
faiss = load_faiss()
from threadpoolctl import threadpool_info
pools = [pool for pool in threadpool_info() if "faiss" in pool["filepath"]]
kernels = [pool["architecture"] for pool in pools if "architecture" in pool]
print(*kernels, os.environ.get("OPENBLAS_CORETYPE"))
"""


def told(**environment):
    """For which processor FAISS multiplies in a fresh process, and what the variable is afterwards."""
    rest = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    done = subprocess.run(
        [sys.executable, "-c", TOLD], capture_output=True, text=True, check=True, env=rest | environment
    )
    return done.stdout.split()


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX512", "AVX2"),
    reason="an old processor, or another kind",
)
def test_faiss_multiplies_as_this_processor_can():
    *kernels, variable = told()
    assert kernels in (["SkylakeX"], ["Haswell"], ["Zen"])
    assert variable == "None"


def test_what_the_user_has_named_is_kept():
    assert told(OPENBLAS_CORETYPE="Haswell") == ["Haswell", "Haswell"]
