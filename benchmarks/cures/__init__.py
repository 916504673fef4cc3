"""How many faulty trainings are cured: `gradiometer cure` on those of the truth benchmark, each as an unchanged script.

    python -m benchmarks.cures run --folder .gradiometer/cures_benchmark --sample 60 --healthy 60
    python -m benchmarks.cures judge --folder .gradiometer/cures_benchmark [--json]
    python -m benchmarks.cures examples

The truth benchmark (`benchmarks.truth`) says which of its trainings are faulty: its results are read first. Of these a
sample is drawn, even over the faults. Each one is cured on the command line as a user would do it. What is proved is
tried again on seeds that no trial of the cure has seen, whole trainings beside the untouched script. The healthy twin
is trained under the same seeds, and so are the repairs of AUTOTRAINER (`repairing`), the one published tool that goes
on from a symptom to a fix.

What counts was fixed before the first whole run (`judging`, `curable`).
"""
