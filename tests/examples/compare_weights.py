"""Trains every example bare and watched for some steps and prints a digest of the weights after each."""

import contextlib
import hashlib
import io
import json
import runpy
import sys
from pathlib import Path

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradiometer.launching.launch import Launch, launch_script
from gradiometer.launching.script import Target

STEPS = 60


class Enough(SystemExit):
    """Ends a script after its steps."""


class Digest:
    """Digest of all weights after the last step, over all optimizers."""

    def __init__(self) -> None:
        self.optimizers: dict[int, Optimizer] = {}
        self.steps = 0

    def __call__(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        self.optimizers[id(optimizer)] = optimizer
        self.steps += 1
        if self.steps >= STEPS:
            raise Enough(0)

    def text(self) -> str:
        digest = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                for tensor in group["params"]:
                    digest.update(tensor.detach().numpy().tobytes())
        return f"{self.steps}:{digest.hexdigest()}"


def digest_of(script: Path, folder: Path | None, overhead: float) -> str:
    digest = Digest()
    handle = register_optimizer_step_post_hook(digest)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            if folder is None:
                sys.argv = [str(script), "--seed", "0"]
                with contextlib.suppress(Enough):
                    runpy.run_path(str(script), run_name="__main__")
            else:
                target = Target(str(script), None, ("--seed", "0"))
                file = folder / f"{script.stem}-{overhead}.db"
                launch_script(Launch(target, file, overhead=overhead, watches_every_step=True))
    finally:
        handle.remove()
    return digest.text()


if __name__ == "__main__":
    torch.set_num_threads(1)
    examples, output = Path(sys.argv[1]), Path(sys.argv[2])
    found = {
        script.stem: [digest_of(script, None, 0.0), digest_of(script, output, 0.01), digest_of(script, output, 1.0)]
        for script in sorted(examples.glob("*.py"))
    }
    sys.stdout.write(json.dumps(found))
