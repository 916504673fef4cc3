"""Measuring: hooks on a live training, reductions on its tensors, one `Snapshot` for each full step.

`probe` holds the hooks that stay and tells which step is measured how: by `full_step`, by `every_step` (loss and time,
`copying_behind` from a GPU), or not at all. `budget` says which steps are measured in full, `step_clock` books them,
`rounds` says what a step is with several optimizers, `training_thread` whose steps count. Then in the order in which a
full step passes them: `layers` (what is measured and how it is called), `observing` (what hooks tell) with `calls`
(and the gradients that came back to them) and `functions` (functional calls, seen through a torch function mode),
`hidden_calls` (what is done again in a backward, or fused), `backward` (when a pass starts and ends), `losses`,
`scaling` (loss scaling), `structure` and `trunk` (the tensors that every gradient crosses), `unit_windows` (saturated
and dead units), `parameters` with `update_samples` (gradients, weights, updates), `statistics` (norms and counts),
`reductions` (all parameters' tensors at once), `snapshot` (all of it as one noun), `settling` (when its numbers come
later from a GPU), `sink` (where it goes). `guarding` times all of it and keeps its faults out of the training;
`compiled` tells when layers are to be left alone.

Dear measurements take turns on full steps: `dear` is their table, `turns` says whose turn it is (of those that the
`network` has a use for), `collecting` what one may ask and do in a step. They are `similarity`; `recurrence` with
`through_time`, `recurrent_arguments` and `recurrent_steps` (fused layers, replayed) and `loops` (cells); `examples`
with `per_example`, `gradient_factors` and `loaders` (which examples of the data set); `magnitudes` with `histograms`;
`unit_listing`.
"""
