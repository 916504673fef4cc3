"""Trials of scripts that compile their model: met before the first trace, paired, and told in true units."""

from pathlib import Path

import pytest

from curing.trials.trial_material import SIGMOIDS, spec_for
from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.pairing import paired, read_trial

COMPILED = SIGMOIDS.replace("optimizer =", "COMPILING\noptimizer =")

SCALED = (
    COMPILED.replace("optimizer =", "scaler = torch.amp.GradScaler('cpu')\noptimizer =")
    .replace("loss.backward()", "scaler.scale(loss).backward()")
    .replace("optimizer.step()", "scaler.step(optimizer)\n    scaler.update()")
)


@pytest.mark.slow
@pytest.mark.parametrize("text", [COMPILED, SCALED])
@pytest.mark.parametrize(
    "compiling", ["model = torch.compile(model, backend='eager')", "model.compile(backend='eager')"]
)
def test_pairs_trials_of_a_compiled_model(tmp_path: Path, text: str, compiling: str) -> None:
    script = text.replace("COMPILING", compiling)
    labels: list[tuple[str, ...]] = [(), ("insert_normalisation", "exchange_activation:relu")]
    specs = [spec_for(tmp_path, script, steps=6, cures=label, patience_seconds=200.0) for label in labels]
    control, treated = (read_trial(end) for end in run_trials(specs, workers=1))

    assert (control.trial.status, treated.trial.status) == ("done", "done"), treated.trial.detail
    assert control.run is not None
    assert treated.run is not None
    assert len(treated.run.facts["cure_changes"]) == 2
    assert set(control.run.fingerprints) == set(range(6))
    assert paired(control, treated)
    assert treated.run.facts["initial_weights_fingerprint"] == control.run.facts["initial_weights_fingerprint"]
    # A scaler multiplies the first loss by 65536; it is told as the script has it.
    assert 0.2 < control.run.losses[0].values[0] < 2.0
