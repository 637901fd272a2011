import os
import sys
from pathlib import Path

import pytest
import torch

from transferkit.core.devices import Compute, choose_compute, free_memory_bytes, has_fast_bf16
from transferkit.core.errors import UsageError

CPU = torch.device("cpu")


def test_the_named_device_and_precision_are_chosen():
    assert choose_compute("cpu", "fp32") == Compute(CPU, "fp32")
    assert choose_compute("cpu", "bf16") == Compute(CPU, "bf16")


def test_auto_chooses_the_fastest_device_and_precision():
    chosen = choose_compute()
    assert chosen.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert chosen.precision == ("bf16" if has_fast_bf16(chosen.device) else "fp32")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/cpuinfo")
def test_fast_bf16_agrees_with_the_cpu_flags():
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    assert has_fast_bf16(CPU) == ("avx512_bf16" in flags)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_precision(precision, dtype):
    with choose_compute("cpu", precision).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.gpu
def test_a_gpu_is_found_and_computes_in_bf16():
    chosen = choose_compute()
    assert chosen == choose_compute("cuda")
    with choose_compute("cuda", "bf16").autocast():
        x = torch.ones(2, 2, device=chosen.device)
        assert (x @ x).dtype == torch.bfloat16


def test_an_unknown_precision_is_rejected_with_the_allowed_ones():
    with pytest.raises(UsageError, match=r"^No precision named 'fp16'\. Choose from: auto, fp32, bf16\.$"):
        choose_compute("cpu", "fp16")


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_an_absent_device_is_rejected_with_reason_and_remedy(device):
    with pytest.raises(UsageError, match=rf"^--device {device} is not available: .+ Use cpu or auto\.$"):
        choose_compute(device)


def test_free_memory_agrees_with_the_system():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < free_memory_bytes() < total
