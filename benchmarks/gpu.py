"""What watching costs on a GPU: GPT-2 of 124 million parameters in bfloat16, and the fused kernel's share of bandwidth.

- ratio: watched at the default overhead against bare steps, eager and compiled, blocks in turn as in `overhead.py`,
  from the step on at which the advance is repaid; at most 1.01 is wanted. A second bare training is the A/A control.
- full: the same with the core of a full measurement at every step.
- kernel: bytes that `reduce_tensors` reads in a second over the gradients, against those that a copy on the device
  reads and writes; at least 70 % is wanted. `torch._foreach_norm` stands beside it.

The batch grows until the card's memory is full. Needs CUDA; does nothing and says so where there is none.

    python benchmarks/gpu.py [--only kernel] [--blocks 20] [--steps 10] [--batch 0]
"""

import argparse
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F
from workloads import LanguageModel, Variant, compare, interval, print_machine

from gradiometer.measuring.reductions import reduce_tensors
from gradiometer.session import watch

CONTEXT, VOCABULARY = 1024, 50_257

MOST_REPAYING_STEPS = 5_000

FILLED_SHARE = 0.3
"""Share of the card that one training may fill: three stand side by side."""


HEAD_START_CYCLES = 50_000_000
"""About 30 ms, in which the host queues what is timed."""


class Training:
    """GPT-2 124M in bfloat16 with AdamW.

    Args:
        batch: Examples of a batch.
        is_compiled: By `torch.compile`, else eager.
    """

    def __init__(self, batch: int, *, is_compiled: bool) -> None:
        torch.manual_seed(0)
        self.model = LanguageModel(12, 768, 12, CONTEXT, VOCABULARY).cuda().bfloat16()
        self.model.head.weight = self.model.tokens.weight
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        tokens = torch.randint(0, VOCABULARY, (batch, CONTEXT + 1), device="cuda")
        self.inputs, self.targets = tokens[:, :-1].contiguous(), tokens[:, 1:].flatten()
        self.call = torch.compile(self.model) if is_compiled else self.model

    def step(self) -> None:
        """One step; the host runs ahead of the card."""
        self.optimizer.zero_grad()
        F.cross_entropy(self.call(self.inputs).float(), self.targets).backward()
        self.optimizer.step()


def largest_batch() -> int:
    """Greatest power of two with which a training fits into its share of the card."""
    most = FILLED_SHARE * torch.cuda.get_device_properties(0).total_memory
    batch = 1
    while True:
        torch.cuda.reset_peak_memory_stats()
        training = Training(2 * batch, is_compiled=False)
        training.step()
        torch.cuda.synchronize()
        is_too_much = torch.cuda.max_memory_allocated() > most
        del training
        torch.cuda.empty_cache()
        if is_too_much:
            return batch
        batch *= 2


def waited(step: Callable[[], None], steps: int) -> Callable[[], None]:
    """Several steps, and then the card: a block is timed as a whole."""

    def run() -> None:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()

    return run


def measure(batch: int, blocks: int, steps: int, *, is_compiled: bool, is_full: bool) -> None:
    """Time bare, twin and watched training in turn and print their ratios."""
    bare, twin, watched = (Training(batch, is_compiled=is_compiled) for _ in range(3))
    for training in (bare, twin):
        waited(training.step, 3)()
    watching = watch(watched.model, watched.optimizer, **({"overhead": 1.0, "dear": ()} if is_full else {}))
    probe, budget = watching.session.probe, watching.session.budget
    probe.attach()
    waited(watched.step, 3)()
    while not is_full and budget.repaid_step is None and probe.step < MOST_REPAYING_STEPS:
        waited(watched.step, 10)()
    probe.detach()
    variants = {
        "watched": Variant(waited(watched.step, steps), probe.attach, probe.detach),
        "A/A control": Variant(waited(twin.step, steps)),
    }
    ratios = compare(Variant(waited(bare.step, steps)), variants, blocks=blocks, steps=1)
    kind = f"{'compiled' if is_compiled else 'eager'}, {'core at every step' if is_full else 'default overhead'}"
    print(f"{kind}, batch {batch} x {CONTEXT}: repaid at step {budget.repaid_step}, own account {budget.share:.4f}")
    for title, ratio in ratios.items():
        print(f"  {title:12} wall {interval(ratio.wall)}", flush=True)
    assert not probe.guard.is_broken
    watching.stop()


def seconds_of(run: Callable[[], object], rounds: int = 50) -> float:
    """Median time of a call on the card, by its own clock."""
    found = []
    for number in range(rounds + 5):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        # The card is kept busy until the host has queued the call, as it is in a training.
        torch.cuda._sleep(HEAD_START_CYCLES)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        if number >= 5:
            found.append(start.elapsed_time(end) / 1e3)
    return median(found)


def measure_kernel() -> None:
    """Say what bandwidth the reductions reach, and what share of a copy's that is."""
    training = Training(1, is_compiled=False)
    training.step()
    gradients: Sequence[Tensor] = [one.grad for one in training.model.parameters() if one.grad is not None]
    large = torch.randn(1 << 28, device="cuda")
    target = torch.empty_like(large)
    copy_bandwidth = 2 * large.nbytes / seconds_of(lambda: target.copy_(large))
    cases = {"GPT-2 gradients, bfloat16": gradients, "one tensor of 2^28, float32": [large]}
    print(f"copy {copy_bandwidth / 1e9:.0f} GB/s read and written; at least 70 % of it is wanted")
    for title, tensors in cases.items():
        size = sum(tensor.nbytes for tensor in tensors)
        for name, run in (("reduce_tensors", reduce_tensors), ("_foreach_norm", torch._foreach_norm)):
            bandwidth = size / seconds_of(lambda run=run, tensors=tensors: run(tensors))
            print(f"  {title:28} {name:15} {bandwidth / 1e9:7.0f} GB/s  {bandwidth / copy_bandwidth:6.1%}", flush=True)


def main() -> None:
    """Measure what is asked for; nothing where there is no CUDA device."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["kernel", "eager", "compiled"], help="one part instead of all")
    parser.add_argument("--blocks", type=int, default=20, help="blocks of each training")
    parser.add_argument("--steps", type=int, default=10, help="steps of a block")
    parser.add_argument("--batch", type=int, default=0, help="examples of a batch; 0 fills the card")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing measured")
        return
    print_machine()
    print(torch.cuda.get_device_name())
    if arguments.only in (None, "kernel"):
        measure_kernel()
    if arguments.only == "kernel":
        return
    batch = arguments.batch or largest_batch()
    for is_compiled in (False, True):
        if arguments.only in (None, "compiled" if is_compiled else "eager"):
            for is_full in (False, True):
                measure(batch, arguments.blocks, arguments.steps, is_compiled=is_compiled, is_full=is_full)


if __name__ == "__main__":
    main()
