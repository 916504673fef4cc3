import torch
from torch import nn

from gradiometer.curing.trials.roots import as_one, opening_of, roots_behind
from gradiometer.schema import Parameter, Run


def run_of(roots: dict[str, nn.Module]) -> Run:
    parameters = tuple(
        Parameter(f"{prefix}.{name}" if prefix else name, None, tuple(tensor.shape), "float32")
        for prefix, root in roots.items()
        for name, tensor in root.named_parameters()
    )
    names = [name or type(root).__name__ for name, root in roots.items()]
    return Run(facts={"root_names": names}, parameters=parameters)


def test_finds_the_module_whose_parameters_have_the_runs_names() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 7))
    wrapper = nn.ModuleDict({"inner": model})

    assert roots_behind(model.parameters(), run_of({"": model})) == {"": model}
    assert roots_behind(model.parameters(), run_of({"": wrapper})) == {"": wrapper}


def test_finds_every_root_behind_one_optimizer_and_only_those() -> None:
    encoder, decoder, twin = nn.Linear(3, 5), nn.Linear(5, 3), nn.Linear(3, 5)
    run = run_of({"encoder": encoder, "decoder": decoder})

    assert roots_behind([*encoder.parameters(), *decoder.parameters()], run) == {"encoder": encoder, "decoder": decoder}
    assert roots_behind(encoder.parameters(), run) == {"encoder": encoder}
    assert twin.weight.shape == encoder.weight.shape


def test_falls_back_on_the_smallest_module_that_owns_all() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 7))
    nn.ModuleDict({"inner": model, "other": nn.Linear(1, 1)})

    assert roots_behind(model.parameters(), None) == {"": model}
    assert roots_behind([nn.Parameter(torch.zeros(1))], None) == {}


def test_puts_several_roots_under_their_names() -> None:
    encoder, decoder = nn.Linear(3, 5), nn.Linear(5, 3)
    both = as_one({"encoder": encoder, "decoder": decoder})

    assert both.get_submodule("decoder") is decoder
    assert as_one({"": encoder}) is encoder
    assert opening_of({"": encoder}) == ""
    assert '"decoder": decoder' in opening_of({"encoder": encoder, "decoder": decoder})
