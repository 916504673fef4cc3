"""A training that is the same on one process and on several, each with its part of every batch.

Usage, under `torchrun`: `ranks_training.py WAY FOLDER` and options, of which `--help` tells.
"""

import argparse
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel

BATCH_SIZE = 32


def make_network() -> nn.Sequential:
    """A network with saturated and dead units, a normalisation, and a weight that only a sample is read of."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Linear(20, 96), nn.Sigmoid(), nn.Linear(96, 64), nn.ReLU(), nn.LayerNorm(64), nn.Linear(64, 5)
    )
    with torch.no_grad():
        network[0].bias[:7] += 20.0
        network[2].bias[:5] -= 20.0
    return network


def wrap(network: nn.Sequential, way: str) -> nn.Module:
    """The network as it is trained on several processes."""
    if way == "ddp":
        return DistributedDataParallel(network)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    options: dict[str, Any] = {}
    if way == "fsdp_mesh":
        options["mesh"] = init_device_mesh("cpu", (2, 2), mesh_dim_names=("copies", "parts"))
    if way == "fsdp_mixed":
        options["mp_policy"] = MixedPrecisionPolicy(param_dtype=torch.bfloat16)
    for layer in network:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, **options)
    fully_shard(network, **options)
    return network


def batches(step_count: int, bad_step: int | None = None) -> list[tuple[Tensor, Tensor]]:
    """The same batches everywhere; the last example of one of them is not finite."""
    generator = torch.Generator().manual_seed(5)
    found = []
    for step in range(step_count):
        inputs = torch.randn(BATCH_SIZE, 20, generator=generator)
        if step == bad_step:
            inputs[-1] = torch.nan
        found.append((inputs, torch.randint(0, 5, (BATCH_SIZE,), generator=generator)))
    return found


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, target: Tensor, *, skips: bool = False
) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), target).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    if not skips:
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--bad-step", type=int)
    parser.add_argument("--skip-step", type=int)
    parser.add_argument("--uneven", action="store_true")
    parser.add_argument("--backend", default="gloo")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    dist.init_process_group(asked.backend)
    rank, size = dist.get_rank(), dist.get_world_size()
    device = torch.device(asked.device)
    if device.type == "cuda":
        device = torch.device("cuda", rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
    network = make_network().to(device)
    model = wrap(network, asked.way)
    optimizer = make_optimizer(model)
    part = slice(rank * BATCH_SIZE // size, (rank + 1) * BATCH_SIZE // size)
    found = batches(asked.steps + (3 * rank if asked.uneven else 0), asked.bad_step)
    with Join([model]) if asked.uneven else nullcontext():  # type: ignore[list-item]
        for step, (inputs, target) in enumerate(found):
            skips = rank == 1 and step == asked.skip_step
            train_step(model, optimizer, inputs[part].to(device), target[part].to(device), skips=skips)
    weights = {
        name: value.full_tensor() if hasattr(value, "full_tensor") else value
        for name, value in network.state_dict().items()
    }
    torch.save(weights, asked.folder / f"weights-{rank}.pt")
    # Torch aborts now and then where a process tears its group down while another is still at work in it.
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
