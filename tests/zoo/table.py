"""The zoo: every network and way to train that measuring must leave alone, by name."""

from typing import Any

import torch
from torch import nn

from measuring import networks as plain_networks
from zoo import attention_networks as attention
from zoo import loops, stacks
from zoo import odd_networks as odd
from zoo.cases import Case, channels_last, grid, images, one_example, own_loss, sequences, tokens


def mlp() -> nn.Module:
    """Four sigmoid layers."""
    return plain_networks.mlp()


def attending(body: Any, **options: Any) -> Case:
    """A case around a network that attends to tokens."""
    return Case(lambda: attention.Attending(body), tokens, **options)


CASES: dict[str, Case] = {
    "mlp": Case(mlp, trunk=9, gains=8),
    "one_layer": Case(lambda: nn.Linear(16, 10), trunk=1, gains=0),
    "batch_of_one": Case(mlp, one_example, trunk=9, gains=8),
    "grid_of_examples": Case(mlp, grid, trunk=9, gains=8),
    "float64": Case(lambda: mlp().double(), lambda g: (torch.randn(8, 16, generator=g).double(), torch.arange(8))),
    "bfloat16": Case(lambda: mlp().bfloat16(), lambda g: (torch.randn(8, 16, generator=g).bfloat16(), torch.arange(8))),
    "frozen": Case(plain_networks.frozen, trunk=5, gains=4, unseen={"0|1|2|3": "no gradient"}),
    "bare_parameters": Case(plain_networks.Bare, gains=0),
    "functional": Case(plain_networks.Functional, is_exact=False),
    "activations": Case(stacks.activations, trunk=20, gains=20, is_exact=False),
    "activations_drawing_nothing": Case(
        lambda: plain_networks.mlp(3, lambda: nn.ReLU(inplace=True)), optimizers=loops.adam, trunk=7, gains=6
    ),
    "dropouts": Case(stacks.dropouts, is_exact=False),
    "cnn_in_place": Case(stacks.cnn, images, trunk=11, gains=8),
    "resnet": Case(plain_networks.ResNet, images, gains=6),
    "densenet_channels_last": Case(lambda: odd.Dense().to(memory_format=torch.channels_last), channels_last, gains=3),
    "fan": Case(plain_networks.Fan, gains=5),
    "pre_norm": Case(plain_networks.PreNorm, gains=6),
    "norms": Case(stacks.norms, images, trunk=14, gains=12),
    "parametrised": Case(stacks.parametrised, trunk=7, gains=6),
    "pruned": Case(stacks.pruned, trunk=5, gains=4),
    "views_and_writes": Case(
        odd.Views, gains=2, views=("flat",), unseen={"flat": "no gradient, or written over as a view"}
    ),
    "returns_dict": Case(plain_networks.Returning),
    "returns_dataclass": Case(odd.Returning, gains=2),
    "returns_tuple": Case(odd.Gated, gains=1, trunk=1),
    "called_by_forward": Case(odd.Forwarded, unseen={"first|act": "called by .forward(), measured as "}),
    "several_calls": Case(plain_networks.Shared, gains=6, trunk=7),
    "shared_parts": Case(odd.Sharing, gains=5, trunk=8),
    "parameters_in_lists": Case(odd.Lists, gains=2),
    "hooks_of_its_own": Case(stacks.hooked, gains=2),
    "own_function": Case(lambda: stacks.stack(nn.Linear(16, 16), odd.OwnFunction(), nn.Linear(16, 16)), gains=3),
    "checkpointed": Case(lambda: odd.Checkpointed(use_reentrant=False), gains=6),
    "checkpointed_reentrant": Case(lambda: odd.Checkpointed(use_reentrant=True), gains=6),
    "checkpointed_with_dropout": Case(
        lambda: odd.Checkpointed(use_reentrant=True, dropout=0.2), is_exact=False, loop=loops.accumulating
    ),
    "complex_weights": Case(odd.Complex, is_exact=False),
    "equilibrium": Case(odd.Equilibrium, unseen={"probe": "no gradient: called under no_grad"}),
    "skipped_and_spare": Case(odd.Branching, is_exact=False, unseen={"spare": "not called", "listener": "no gradient"}),
    "mapped": Case(odd.Mapped, trunk=2, unseen={"part": "called under torch.func"}),
    "judges_itself": Case(odd.Judging, loss=own_loss, trunk=1, gains=2),
    "scripted_part": Case(stacks.scripted, gains=2, trunk=4),
    "traced_part": Case(stacks.traced, gains=2, trunk=4),
    "lazy": Case(stacks.lazy, gains=3, trunk=4),
    "lstm_packed": Case(lambda: odd.Packed(nn.LSTM, num_layers=2, proj_size=0, dropout=0.1), sequences, is_exact=False),
    "gru_packed_both_ways": Case(lambda: odd.Packed(nn.GRU, bidirectional=True), sequences, gains=0, trunk=1),
    "recurrent_cells": Case(odd.Cells, sequences, gains=1, trunk=0),
    "lstm_then_cell": Case(plain_networks.Recurrent, gains=1, trunk=0),
    "attention": Case(plain_networks.Attention, gains=0),
    "attention_with_weights": attending(lambda: attention.Weighing(need_weights=True), gains=2),
    "attention_without_weights": attending(lambda: attention.Weighing(need_weights=False), gains=2),
    "attention_with_dropout": attending(lambda: attention.Weighing(need_weights=False, dropout=0.2), is_exact=False),
    "attention_across": attending(attention.Crossing, gains=3),
    "dot_product": attending(attention.DotProduct, gains=3),
    "encoder": attending(lambda: attention.encoder(0.1), optimizers=loops.adam, is_exact=False),
    "encoder_norm_first": attending(lambda: attention.encoder(0.0, norm_first=True, activation="gelu"), gains=8),
    "decoder": attending(attention.Decoding, is_exact=False),
    "encoder_and_decoder": attending(attention.Both, gains=8),
    "on_frozen_encoder": Case(
        lambda: attention.OnFrozen(is_without_gradient=False),
        tokens,
        unseen={"embedding": "no gradient", r"encoder\..*": "fused"},
    ),
    "on_encoder_without_gradient": Case(
        lambda: attention.OnFrozen(is_without_gradient=True),
        tokens,
        unseen={"embedding": "no gradient: called under no_grad", r"encoder\..*": "fused"},
    ),
    "embeddings_tied": Case(attention.Tied, tokens, gains=2),
    "embeddings_sparse": Case(attention.Bags, tokens, optimizers=loops.sparse_and_dense, gains=1),
    "gradient_accumulation": Case(mlp, loop=loops.accumulating, trunk=9, gains=8),
    "zeroed_gradients": Case(mlp, loop=loops.zeroing, optimizers=loops.adam, trunk=9, gains=8),
    "several_losses": Case(mlp, loop=loops.several_losses, trunk=9, gains=8),
    "several_optimizers": Case(plain_networks.ResNet, images, optimizers=loops.two_optimizers, gains=6),
    "adversaries": Case(
        odd.Adversaries,
        loop=loops.adversarial,
        optimizers=loops.one_for_each_part,
        roots=loops.adversarial_roots,
        is_exact=False,
    ),
    "closures": Case(mlp, loop=loops.closures, optimizers=loops.lbfgs, trunk=9, gains=8),
    "loss_scaling": Case(mlp, loop=loops.scaling, trunk=9, gains=8),
    "autocast": Case(plain_networks.Transformer, loop=loops.autocasting, is_exact=False),
    "adam_foreach": Case(plain_networks.Transformer, optimizers=loops.adam_foreach, is_exact=False),
    "adam_fused": Case(stacks.cnn, images, optimizers=loops.adam_fused, trunk=11, gains=8),
    "gradient_penalty": Case(mlp, loop=loops.penalising, trunk=0, gains=8),
    "adversarial_examples": Case(mlp, loop=loops.attacking, trunk=9, gains=8),
    "functional_updates": Case(
        mlp,
        loop=loops.functionally,
        optimizers=loops.nothing,
        trunk=0,
        gains=8,
        steps=0,
        unseen={r".*": "called under torch.func"},
    ),
    "functional_call": Case(mlp, loop=loops.substituting, trunk=9, gains=8),
    "updates_in_backward": Case(
        mlp, loop=loops.stepping_in_backward, optimizers=loops.one_for_each_parameter, trunk=0, gains=8
    ),
    "averaged_weights": Case(stacks.cnn, images, loop=loops.averaging, trunk=11, gains=8),
    "saved_tensor_hooks": Case(mlp, loop=loops.saving_on_cpu, trunk=9, gains=8),
    "anomaly_detection": Case(mlp, loop=loops.anomalies, trunk=9, gains=8),
}
"""Every case."""
