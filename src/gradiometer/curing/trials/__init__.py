"""Trials: short training runs with and without a cure, in processes of their own, and what they prove.

`sieves` goes from many candidates to few, `local` runs trials on this machine, `worker` is what such a process does,
`treatment` applies a cure inside it, `pairing` reads what came of it, `verdict` compares.
"""
