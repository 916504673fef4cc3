"""Measuring: hooks on a live training, reductions on its tensors, one `Snapshot` for each full step.

`probe` holds the hooks and the step as a whole; `budget` says which steps are measured in full, `rounds` what a step is
with several optimizers. Then in the order in which a full step passes them: `layers` (what is measured and how it is
called), `observing` (what hooks tell) with `calls` (and the gradients that came back to them) and `functions`
(functional calls, seen through a torch function mode), `backward` (when a pass starts and ends), `losses`, `scaling`
(loss scaling), `structure` and `trunk` (the tensors that every gradient crosses), `unit_windows` (saturated and dead
units), `parameters` (gradients, weights, updates), `statistics` (norms and counts), `snapshot` (all of it as one noun),
`sink` (where it goes). `guarding` times all of it and keeps its faults out of the training; `compiled` tells when
layers are to be left alone.

Building blocks that the probe does not use yet: `per_example` with `gradient_factors`, `noise_scale`, `histograms`,
`through_time` with `recurrent_arguments` and `recurrent_steps`.
"""
