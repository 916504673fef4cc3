from collections.abc import Iterator
from pathlib import Path

import pytest

from gradiometer.integrations.mlflow import find_active, join, open_tracker
from gradiometer.integrations.scalars import rows_of
from gradiometer.integrations.telling import Telling, tell_all
from showing.made_run import made_run

mlflow = pytest.importorskip("mlflow")

# MLflow's own tables are written for an older SQLAlchemy, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    """A store of MLflow's in a database of this test."""
    before = mlflow.get_tracking_uri()
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    yield uri
    mlflow.set_tracking_uri(before)


@pytest.fixture
def experiment(store: str, tmp_path: Path) -> str:
    """An experiment whose artifacts lie in this test's folder."""
    mlflow.create_experiment("ours", artifact_location=(tmp_path / "artifacts").as_uri())
    return "ours"


@pytest.mark.slow
def test_tells_mlflow_every_number_the_verdict_and_the_report(experiment: str) -> None:
    run = made_run(hidden_count=10)
    telling = Telling(open_tracker(experiment, run))
    tell_all(telling, run)
    client = mlflow.MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    history = client.get_metric_history(found.info.run_id, "gradiometer/loss")
    told = sorted((one.step, one.value) for one in history)
    assert told == list(zip(run.losses[0].steps.tolist(), run.losses[0].values.tolist(), strict=True))
    assert set(found.data.metrics) == {name for row in rows_of(run)[0] for name in row.values}
    assert found.data.tags["gradiometer.verdict"] == "broken"
    assert found.data.tags["gradiometer.finding.vanishing"].startswith("critical: ")
    assert found.data.params["gradiometer_seed"] == "0"
    assert found.info.status == "FINISHED"
    assert [one.path for one in client.list_artifacts(found.info.run_id, "gradiometer")] == ["gradiometer/report.html"]


def test_joins_the_run_of_a_script_and_leaves_it_open(experiment: str) -> None:
    run = made_run(hidden_count=2)
    mlflow.set_experiment(experiment)
    assert find_active() is None
    with mlflow.start_run() as mine:
        mlflow.log_metric("mine", 1.0, step=5)
        active = find_active()
        tell_all(Telling(join(active), has_page=False), run)
        assert mlflow.active_run().info.run_id == active == mine.info.run_id
        mlflow.log_metric("mine", 2.0, step=6)
    found = mlflow.MlflowClient().get_run(mine.info.run_id)
    assert found.data.metrics["mine"] == 2.0
    assert found.data.metrics["gradiometer/loss"] == run.losses[0].values[-1]
    assert found.info.status == "FINISHED"
