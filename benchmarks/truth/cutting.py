"""A run as it was after some of its steps: what a diagnosis in the midst of a training would have had to go by."""

from dataclasses import replace

from gradiometer.schema import Run


def cut(run: Run, share: float) -> Run:
    """The first part of a run.

    Args:
        run: The run, whole.
        share: Share of its steps to keep, above 0 and at most 1.

    Returns:
        The run with what was recorded in those steps. Facts stay: the few that grow (what measuring has cost) are
        nothing that a condition reads.
    """
    if share >= 1.0:
        return run
    end = max(2, round(share * run.step_count))
    is_measured, is_recorded = run.snapshot_steps < end, run.steps < end
    return replace(
        run,
        facts={**run.facts, "step_count": end},
        snapshot_steps=run.snapshot_steps[is_measured],
        snapshot_columns={name: column[is_measured] for name, column in run.snapshot_columns.items()},
        layer_columns={name: column[is_measured] for name, column in run.layer_columns.items()},
        parameter_columns={name: column[is_measured] for name, column in run.parameter_columns.items()},
        turns={step: turn for step, turn in run.turns.items() if step < end},
        examples={step: stats for step, stats in run.examples.items() if step < end},
        fades={step: fades for step, fades in run.fades.items() if step < end},
        histograms={step: found for step, found in run.histograms.items() if step < end},
        unit_marks={step: marks for step, marks in run.unit_marks.items() if step < end},
        steps=run.steps[is_recorded],
        step_columns={name: column[is_recorded] for name, column in run.step_columns.items()},
        losses=tuple(
            replace(
                series,
                steps=series.steps[kept],
                values=series.values[kept],
                nonfinite_counts=series.nonfinite_counts[kept],
            )
            for series in run.losses
            for kept in [series.steps < end]
        ),
        events=tuple(event for event in run.events if event.step < end),
    )
