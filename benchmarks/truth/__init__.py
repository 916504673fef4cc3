"""How often the diagnosis is right: hundreds of small trainings, healthy ones and ones with a known fault.

    python -m benchmarks.truth run --folder .gradiometer/truth --jobs 2     # trains; goes on where it was stopped
    python -m benchmarks.truth judge --folder .gradiometer/truth --part reporting [--json]

A training is drawn from its number alone (`families`). It is trained as it is, and once more with one fault of a
literal table (`faults`) injected. Both are watched as a user would watch them, at the default overhead, and the run
files are kept, so that they can be diagnosed again without training. Beside them the published rules of other tools
are evaluated on statistics that the same training loop collects (`rules`).

What counts was fixed before anything was trained (`results`): a drawn training is healthy if it learns, and one with a
fault is faulty if it ends measurably worse than its twin. One half of each fault's trainings, and
their twins, are for choosing thresholds, the other for reporting.
"""
