"""What a network is made of, by the names of autograd's nodes."""

import pytest
import torch
from torch import nn

from gradiometer.measuring.graph_operations import loose_weights, nodes_behind, softmaxes_of
from gradiometer.measuring.loss_graph import operation_of
from gradiometer.measuring.saved_hooks import hook_notes


def test_names_every_operation_behind_a_node():
    layer, points = nn.Linear(3, 2), torch.randn(4, 3)
    scores = layer(torch.relu(points @ nn.Parameter(torch.randn(3, 3))))
    names = {operation_of(node) for node in nodes_behind(scores.grad_fn)}
    assert names == {"Addmm", "T", "AccumulateGrad", "Relu", "Mm"}


def test_tells_axis_size_and_number_of_axes_of_softmaxes():
    hook_notes.start(holder := object())
    scores = torch.randn(4, 3, requires_grad=True)
    nodes = [scores.softmax(0).grad_fn, scores.log_softmax(-1).grad_fn, scores.relu().grad_fn]
    assert softmaxes_of(nodes) == [[0, 4, 2], [1, 3, 2]]
    hook_notes.stop(holder)


def test_tells_of_parameters_that_are_not_known_and_of_no_other_tensor():
    known, loose = nn.Linear(3, 3, bias=False), nn.Parameter(torch.full((3, 3), -2.0))
    points = torch.randn(4, 3, requires_grad=True)
    nodes = nodes_behind((known(points) @ loose).grad_fn)
    told = loose_weights(nodes, lambda tensor: tensor is known.weight)
    assert told == [{"shape": [3, 3], "rms": pytest.approx(2.0)}]


def test_reads_no_weight_whose_storage_is_freed():
    weight = nn.Parameter(torch.ones(4, 4))
    loss = (torch.ones(2, 4) @ weight).sum()
    weight.untyped_storage().resize_(0)
    assert loose_weights(nodes_behind(loss.grad_fn), lambda tensor: False) == [{"shape": [4, 4], "rms": None}]
