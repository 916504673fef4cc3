"""`gradiometer run` on unchanged scripts of trainers: model, optimizer and loss are found without an adapter."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gradiometer

pytestmark = pytest.mark.slow  # each imports a trainer, twice

START = """
import json, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import torch
import torch.nn.functional as F
from integrations.small_nets import batches, examples, small_network
seen = []
"""

END = """
weights = [one.tolist() for one in model.parameters()]
print("TOLD", json.dumps({"seen": seen, "weights": weights}))
"""

LIGHTNING = """
import lightning.pytorch as pl

class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = small_network()

    def training_step(self, batch, index):
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        seen.append(loss.item())
        return loss

    def validation_step(self, batch, index):
        self.log("loss", F.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)

model = Module()
torch.manual_seed(7)
trainer = pl.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, gradient_clip_val=0.01)
trainer.fit(model, batches(), batches())
"""

TRANSFORMERS = """
from transformers import Trainer, TrainingArguments

class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small_network()

    def forward(self, inputs, labels):
        logits = self.net(inputs)
        loss = F.cross_entropy(logits, labels)
        if self.training:
            seen.append(loss.item())
        return {"loss": loss, "logits": logits}

model = Classifier()
rows = [{"inputs": one, "labels": label} for one, label in zip(*examples())]
arguments = TrainingArguments(
    output_dir="out", num_train_epochs=2, per_device_train_batch_size=8, learning_rate=0.01, report_to="none",
    save_strategy="no", use_cpu=True, max_grad_norm=0.01, eval_strategy="epoch", seed=7,
)
Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:8]).train()
"""

ACCELERATE = """
from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
model = small_network()
prepared, optimizer, loader = accelerator.prepare(model, torch.optim.Adam(model.parameters(), lr=0.01), batches())
torch.manual_seed(7)
for epoch in range(2):
    for inputs, classes in loader:
        loss = F.cross_entropy(prepared(inputs), classes)
        seen.append(loss.item())
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(prepared.parameters(), 0.01)
        optimizer.step()
        optimizer.zero_grad()
"""

SCRIPTS = {"lightning": LIGHTNING, "transformers": TRANSFORMERS, "accelerate": ACCELERATE}


def told(words: list[str], script: Path) -> dict[str, list[float]]:
    """What a script tells of its training at its end."""
    command = [sys.executable, *words, str(script), str(Path(__file__).parent.parent)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=script.parent, check=False)
    line = next((line for line in ended.stdout.splitlines() if line.startswith("TOLD ")), None)
    assert line is not None, ended.stderr[-2000:]
    found: dict[str, list[float]] = json.loads(line.removeprefix("TOLD "))
    return found


@pytest.mark.parametrize("trainer", SCRIPTS)
def test_finds_model_optimizer_and_loss_of_an_unchanged_script(trainer: str, tmp_path: Path) -> None:
    script = tmp_path / f"train_{trainer}.py"
    script.write_text(START + SCRIPTS[trainer] + END)
    alone = told([], script)
    watched = told(["-m", "gradiometer", "run", "--overhead", "1", "--file", str(tmp_path / "run.db")], script)
    assert watched == alone
    run = gradiometer.open(tmp_path / "run.db")
    assert run.step_count == len(alone["seen"]) == 16
    assert run.loss is not None
    assert run.loss.values == pytest.approx(alone["seen"], rel=1e-5)
    assert run.facts["optimizer"] == ("AdamW" if trainer == "transformers" else "Adam")
    kinds = [layer.kind for layer in run.layers if layer.role != "block"]
    assert kinds[:4] == ["Linear", "Tanh", "Dropout", "Linear"]
    assert run.coverage.seen_count == run.coverage.total_count
    # All clip, Lightning amid the optimizer's step.
    assert run.step_columns["clipped_total_norm"] == pytest.approx(np.full(16, 0.01), rel=1e-3)
    assert np.isfinite(run.parameter_columns["update_ratio"]).all()
