"""Training for a few steps, alone or as one of several processes; started by ``test_two_processes``."""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tests.losses.examples import FEATURES, SMALL, Encoder, two_views
from transferkit.losses.collectives import ALONE, Collectives
from transferkit.losses.pretext import Pretext
from transferkit.losses.weighted import parse_loss

BATCH = 24
STEPS = 5
CASES = {
    "joint": True,
    "joint-supcon": True,
    "selfsupcon": False,
    "supcon": True,
    "supcon-batch": False,
    "ce + supcon-batch": False,
}
"""Loss → whether the encoder has batch statistics: they are the same where a queue cuts the batch."""


def trained(loss: str, collectives: Collectives = ALONE) -> dict[str, torch.Tensor]:
    """Return parameters, last gradients and queue after some steps on this process's part of each batch."""
    torch.manual_seed(0)  # of the heads
    encoder = Encoder(batch_norm=CASES[loss])
    pretext = Pretext(
        encoder,
        parse_loss(loss),
        feature_dim=FEATURES,
        n_classes=3,
        settings=SMALL,
        collectives=collectives,
    ).double()
    model = pretext if collectives is ALONE else DistributedDataParallel(pretext, broadcast_buffers=False)
    optimizer = torch.optim.SGD([p for p in pretext.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    for step in range(STEPS):
        views, labels = two_views(BATCH, seed=10 * step, dtype=torch.float64)
        optimizer.zero_grad()
        losses = model([collectives.own(view) for view in views], collectives.own(labels))
        losses["total"].backward()
        optimizer.step()
    found = dict(pretext.named_parameters())
    found |= {f"{name}.grad": p.grad for name, p in pretext.named_parameters() if p.grad is not None}
    found |= {name: value for name, value in pretext.named_buffers() if name.startswith("queue.")}
    return {name: value.detach() for name, value in found.items()}


def work(rank: int, world_size: int, folder: str) -> None:
    """Run one of ``world_size`` processes, which writes its results to ``folder``."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world_size)

    def gather(x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x) for _ in range(world_size)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    collectives = Collectives(rank, world_size, gather)
    torch.save({loss: trained(loss, collectives) for loss in CASES}, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()
