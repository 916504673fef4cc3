"""Trials: short training runs with and without a cure, in processes of their own, and what they prove.

`plan` chooses steps and seeds, `sieves` goes from many candidates to few (`strain` judges first steps), `runner` and
`spec` turn a cure and a seed into a trial, `local` runs trials on this machine, `worker` is what such a process does,
`treatment` applies a cure inside it (`roots` and `passage` find and follow the models), `pairing` reads what came of
it, `verdict` compares, `patching` with `rewriting` writes what is proved as a patch of the script.
"""
