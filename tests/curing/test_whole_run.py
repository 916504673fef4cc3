"""What `run --cure` goes by: labels, the newest case of the script, what its trials have gathered."""

from pathlib import Path

import numpy as np
import pytest

from curing.trials.trial_material import SIGMOIDS, write_script
from gradiometer.curing.case import CaseRequest, case_folder
from gradiometer.curing.trials.gathering import SAMPLES_FILE
from gradiometer.curing.trials.spec import RUN_FILE, digest_of
from gradiometer.curing.whole_run import newest_case, regimen_for
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.launching.script import Target
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import Outcome

TARGET = Target("train.py", None, ())


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A case of a script that imports a file of its own: the run that was diagnosed."""
    monkeypatch.chdir(tmp_path)
    script = write_script(tmp_path, SIGMOIDS)
    (tmp_path / "helper.py").write_text("x = 1\n")
    sources = {str(path): digest_of(path.read_bytes()) for path in (script, tmp_path / "helper.py")}
    file = case_folder(CaseRequest(TARGET)) / "0123" / RUN_FILE
    with RunWriter(file) as writer:
        writer.add_facts({"sources": sources, "script": "train.py"})
    return file


def test_goes_by_the_newest_case_of_a_script_that_has_not_changed(case: Path, tmp_path: Path) -> None:
    found = newest_case(TARGET)
    assert found is not None
    assert found.file == case
    run = regimen_for("redraw_weights:he", TARGET).run
    assert run is not None
    assert run.facts == found.run.facts
    assert newest_case(Target("train.py", None, ("--other",))) is None

    (tmp_path / "helper.py").write_text("x = 2\n")
    assert newest_case(TARGET) is None
    assert regimen_for("redraw_weights:he", TARGET).run is None


@pytest.mark.usefixtures("case")
def test_reads_labels_joined_either_way_and_draws_weights_last() -> None:
    for words in ("redraw_weights:he,exchange_activation:relu", "redraw_weights:he + exchange_activation:relu"):
        labels = [cure.label for cure in regimen_for(words, TARGET).cures]
        assert labels == ["exchange_activation:relu", "redraw_weights:he"]


def test_takes_inputs_that_trials_have_gathered_and_refuses_without(case: Path) -> None:
    with pytest.raises(CureRefusedError, match="inputs of the model.*cure --try pretrain_layers.* SCRIPT"):
        regimen_for("pretrain_layers", TARGET)
    with pytest.raises(CureRefusedError, match="a learning rate that only trials"):
        regimen_for("change_learning_rate:range", TARGET)
    folder = case.parent / "trials" / "gather-seed0-0123"
    folder.mkdir(parents=True)
    np.save(folder / SAMPLES_FILE, np.ones((5, 8), dtype=np.float32))
    samples = regimen_for("pretrain_layers", TARGET).samples

    assert samples is not None
    assert samples.shape == (5, 8)


def test_takes_a_proved_cure_from_a_run_file(case: Path) -> None:
    with RunWriter(case, is_resumed=True) as writer:
        writer.set_outcome(Outcome("better", cures=("redraw_weights:he",)))
    assert [cure.label for cure in regimen_for(str(case), TARGET).cures] == ["redraw_weights:he"]
    with RunWriter(case, is_resumed=True) as writer:
        writer.set_outcome(Outcome("not shown", cures=("redraw_weights:he",)))
    with pytest.raises(SettingsError, match="holds no cure that was proved"):
        regimen_for(str(case), TARGET)
