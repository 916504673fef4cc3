import copy
import pickle

import numpy as np
import pytest
import torch
from torch.optim import LBFGS, Adam

from curing.patients import fresh_pair
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.clipping import chosen_norm, healthy_norms
from gradiometer.errors import CureRefusedError
from gradiometer.schema import PARAMETER_COLUMNS, Parameter, Run


def run_with(total_norms):
    return Run(steps=np.arange(len(total_norms)), step_columns={"total_norm": np.array(total_norms, dtype=float)})


def test_scales_the_gradient_down_to_the_norm_as_torch_does_and_no_further():
    for size in (100.0, 1e-3):
        pair, twin = fresh_pair("sigmoid_stack"), fresh_pair("sigmoid_stack")
        parse_cure("clip_gradients:0.5").apply(Patient(pair.model, pair.optimizer))
        for model in (pair.model, twin.model):
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, size)
        torch.nn.utils.clip_grad_norm_(twin.model.parameters(), 0.5)
        pair.optimizer.step()
        twin.optimizer.step()
        for mine, theirs in zip(pair.model.parameters(), twin.model.parameters(), strict=True):
            assert torch.equal(mine, theirs)


def test_takes_the_median_of_the_healthy_norms():
    norms = [1.0, 2.0, 3.0, 2.0, 1e6, np.nan, np.inf, 0.0]
    assert healthy_norms(run_with(norms)).tolist() == [1.0, 2.0, 3.0, 2.0]
    pair = fresh_pair("sigmoid_stack")
    adam = Adam(pair.model.parameters())
    assert chosen_norm(Patient(pair.model, adam, run=run_with(norms))) == 2.0


def test_reads_the_norms_from_full_measurements_where_the_script_does_not_clip():
    columns = {name: np.full((2, 2), np.nan) for name in PARAMETER_COLUMNS}
    columns["gradient_rms"] = np.array([[3.0, 4.0], [6.0, 8.0]])
    parameters = (Parameter("a", None, (1,), "float32"), Parameter("b", None, (1,), "float32"))
    run = Run(parameters=parameters, snapshot_steps=np.arange(2), parameter_columns=columns)
    assert healthy_norms(run).tolist() == [5.0, 10.0]


def test_bounds_the_step_of_plain_descent_where_every_norm_of_the_run_is_huge():
    pair = fresh_pair("sigmoid_stack")
    weight_norm = sum(float(p.detach().square().sum()) for p in pair.model.parameters()) ** 0.5
    chosen = chosen_norm(Patient(pair.model, pair.optimizer, run=run_with([1e5, 2e5, 3e5])))
    assert chosen == pytest.approx(0.01 * weight_norm / 0.1, rel=0.05)  # two digits are kept


def test_falls_back_to_one_where_nothing_is_known():
    pair = fresh_pair("sigmoid_stack")
    assert chosen_norm(Patient(pair.model, Adam(pair.model.parameters()))) == 1.0


def test_leaves_the_optimizer_copyable():
    pair = fresh_pair("sigmoid_stack")
    parse_cure("clip_gradients").apply(Patient(pair.model, pair.optimizer))
    copy.deepcopy(pair.optimizer)
    pickle.dumps(pair.optimizer)


def test_refuses_without_an_optimizer_and_for_lbfgs():
    pair = fresh_pair("sigmoid_stack")
    with pytest.raises(CureRefusedError, match="constructed"):
        parse_cure("clip_gradients").apply(Patient(pair.model))
    with pytest.raises(CureRefusedError, match="LBFGS"):
        parse_cure("clip_gradients").apply(Patient(pair.model, LBFGS(pair.model.parameters())))
