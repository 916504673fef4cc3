"""An unchanged script is run and found out about.

`launch` puts it together: `script` runs the script as `python` would, `package_import` tells when it imports torch,
`discovery` finds its optimizers and roots, `succession` tells where another training begins, `ending` how it ended. A
trial adds `limits` (an end, a seed), `streams` (random numbers) and `guard` (files, through `overlay`).
"""
