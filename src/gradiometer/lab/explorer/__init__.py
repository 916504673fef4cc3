"""A digit network that one can walk through: trained, asked and taken apart in a process of its own.

`process` starts that process and asks it; it imports no torch. All else here runs in the process: `network` makes the
network, `training` trains it, `passing` passes digits, `scenes`, `units` and `weights` answer. The page is
`gradiometer.showing.explorer`; `cli` puts the two together.
"""
