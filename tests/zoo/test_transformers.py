"""Models of Hugging Face `transformers`, made from a configuration with random weights; nothing is downloaded."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.cases import Batch, Case
from zoo.comparing import budget_error_db, changed, compare_gains, falsely_covered, train, untold, wrong_levels
from zoo.loops import adam


def made(kind: str, config: str, **settings: Any) -> Callable[[], nn.Module]:
    """Makes a model in training mode."""

    def make() -> nn.Module:
        import transformers

        model: nn.Module = getattr(transformers, kind)(getattr(transformers, config)(**settings))
        return model.train()

    return make


def sentences(generator: torch.Generator) -> Batch:
    """Three sentences of eight words, each its own target."""
    words = torch.randint(1, 40, (3, 8), generator=generator)
    return words, words


def labelled_sentences(generator: torch.Generator) -> Batch:
    """Three sentences of eight words with one of two labels."""
    return torch.randint(1, 40, (3, 8), generator=generator), torch.randint(0, 2, (3,), generator=generator)


def pictures(generator: torch.Generator) -> Batch:
    """Three pictures of 16 by 16 in colour with one of five labels."""
    return torch.randn(3, 3, 16, 16, generator=generator), torch.randint(0, 5, (3,), generator=generator)


def reading_loss(model: nn.Module, batch: Batch) -> Tensor:
    """The loss that a language model gives itself."""
    loss: Tensor = model(input_ids=batch[0], labels=batch[1]).loss
    return loss


def seeing_loss(model: nn.Module, batch: Batch) -> Tensor:
    """The loss that a vision model gives itself."""
    loss: Tensor = model(pixel_values=batch[0], labels=batch[1]).loss
    return loss


SIZES = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SEEN_SIZES = {**SIZES, "image_size": 16, "patch_size": 4, "num_labels": 5}
GPT2_SIZES = {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 16}
T5_SIZES = {"vocab_size": 40, "d_model": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2, "d_kv": 16}
RESNET_SIZES = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [2, 2], "num_labels": 5}

OWN_DROPOUT = {r".*dropout": "not called"}
"""Dropout that fused attention applies to its weights by itself is a module that is never called."""

MODELS = {
    "bert": Case(
        made("BertForSequenceClassification", "BertConfig", **SIZES),
        labelled_sentences,
        reading_loss,
        adam,
        trunk=10,
        gains=20,
        unseen=OWN_DROPOUT,
    ),
    "gpt2": Case(
        made("GPT2LMHeadModel", "GPT2Config", bos_token_id=0, eos_token_id=0, **GPT2_SIZES),
        sentences,
        reading_loss,
        adam,
        trunk=6,
        gains=15,
        unseen=OWN_DROPOUT,
    ),
    "vit": Case(
        made("ViTForImageClassification", "ViTConfig", **SEEN_SIZES),
        pictures,
        seeing_loss,
        adam,
        trunk=6,
        gains=15,
        unseen=OWN_DROPOUT,
    ),
    "llama": Case(
        made("LlamaForCausalLM", "LlamaConfig", **SIZES),
        sentences,
        reading_loss,
        adam,
        trunk=5,
        gains=20,
        unseen={r"model\.rotary_emb": "no gradient"},
    ),
    "t5": Case(
        made("T5ForConditionalGeneration", "T5Config", decoder_start_token_id=0, pad_token_id=0, **T5_SIZES),
        sentences,
        reading_loss,
        adam,
        trunk=10,
        gains=40,
        unseen={"shared": "not called"},
    ),
    "resnet": Case(
        made("ResNetForImageClassification", "ResNetConfig", **RESNET_SIZES),
        pictures,
        seeing_loss,
        adam,
        trunk=12,
        gains=40,
    ),
}

SLOW = {"llama", "t5", "resnet"}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MODELS]
)
def case(request: pytest.FixtureRequest) -> Case:
    """One model after another, each with all of its tests."""
    pytest.importorskip("transformers", reason="transformers is not installed: pip install 'gradiometer[dev]'")
    case = MODELS[request.param]
    case.make()  # its first import draws from Python's random numbers
    return case


def test_leaves_all_bits_of_a_third_partys_model_alone(case: Case) -> None:
    assert changed(case, 1.0) == []
    assert changed(case, 0.01) == []


def test_gains_along_its_trunk_add_up_to_the_level_difference(case: Case) -> None:
    run = train(case, 1.0)[1]
    assert run is not None
    assert run.snapshot_count == case.steps
    assert budget_error_db(run, case) < 1e-3
    assert set(untold(run, case)) <= set(case.unseen.items())


def test_measures_its_levels_and_gains_as_autograd_gives_them(case: Case) -> None:
    assert wrong_levels(case) == {}
    assert falsely_covered(case) == set()
    count, wrong = compare_gains(case)
    assert wrong == {}
    assert count >= case.gains
