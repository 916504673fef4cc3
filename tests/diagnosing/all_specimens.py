"""The specimens of all conditions, from the files in which they are made, and their runs."""

from functools import cache

import torch
from specimens import SPECIMENS as GRADIENT_SPECIMENS
from specimens import Specimen
from specimens import run_of as gradient_run_of
from specimens_learning import LEARNING_SPECIMENS
from specimens_setup import SETUP_SPECIMENS

from gradiometer.schema import Run

SPECIMENS: dict[str, Specimen] = {**GRADIENT_SPECIMENS, **SETUP_SPECIMENS, **LEARNING_SPECIMENS}


@cache
def run_of(condition: str, variant: str) -> Run:
    """The run of one specimen (`sick`, `twin` or `functional`), trained once from a known random state."""
    if condition in GRADIENT_SPECIMENS:
        return gradient_run_of(condition, variant)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return getattr(SPECIMENS[condition], variant)()
