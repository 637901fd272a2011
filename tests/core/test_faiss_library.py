import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from transferkit.core.faiss_library import CORETYPE, has_faiss, load_faiss

pytestmark = pytest.mark.skipif(not has_faiss(), reason="FAISS is not installed")

TOLD = """
import os
from transferkit.core.faiss_library import load_faiss
faiss = load_faiss()
from threadpoolctl import threadpool_info
pools = [pool for pool in threadpool_info() if "faiss" in pool["filepath"]]
kernels = [pool["architecture"] for pool in pools if "architecture" in pool]
print(*kernels, os.environ.get("OPENBLAS_CORETYPE"))
"""


def flags():
    told = Path("/proc/cpuinfo")
    return set(told.read_text().split()) if told.exists() else set()


def told(**environment):
    """Return the processor type that FAISS uses in a fresh process, and the value of the variable afterwards."""
    rest = {name: value for name, value in os.environ.items() if name != CORETYPE}
    done = subprocess.run(
        [sys.executable, "-c", TOLD], capture_output=True, text=True, check=True, env=rest | environment
    )
    return done.stdout.split()


@pytest.mark.skipif("avx2" not in flags(), reason="an old processor, or another kind")
def test_faiss_uses_the_fastest_kernels_of_this_processor():
    assert told() == ["SkylakeX" if "avx512vl" in flags() else "Haswell", "None"]


@pytest.mark.skipif("avx2" not in flags(), reason="an old processor, or another kind")
def test_the_user_s_core_type_is_kept():
    assert told(OPENBLAS_CORETYPE="Haswell") == ["Haswell", "Haswell"]


def test_threads_may_load_it_at_once(monkeypatch):
    monkeypatch.delenv(CORETYPE, raising=False)
    failures = []

    def work():
        try:
            for _ in range(2000):
                load_faiss()
        except Exception as error:
            failures.append(error)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert not failures
    assert CORETYPE not in os.environ
