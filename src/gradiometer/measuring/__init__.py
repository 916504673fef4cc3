"""Measuring: hooks on a live training, reductions on its tensors, one `Snapshot` for each full step.

Files in the order in which a step passes them: `layers` (what is measured and how it is called), `calls` (what
happened in a step), `functions` (functional calls, seen through a torch function mode), `trunk` (the tensors that every
gradient crosses), `unit_windows` (saturated and dead units), `parameters` (gradients, weights, updates), `snapshot`
(all of it as one noun), `budget` (when to measure in full), `probe` (hooks, and the step as a whole).
"""
