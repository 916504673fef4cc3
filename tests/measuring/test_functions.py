import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import _get_current_function_mode_stack

from gradiometer.measuring.functions import FunctionWatch


class Squashing(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(inputs)
        self.device_amid = torch.empty(1).device
        return torch.tanh(hidden)


def test_leaves_its_mode_amid_a_call_and_takes_no_other_one_away() -> None:
    seen = []

    def observe(name, function, args, kwargs):
        seen.append(name)
        watch.leave()
        return function(*args, **kwargs)

    watch, module, inputs = FunctionWatch(observe), Squashing(), torch.ones(2)
    # As in a full step: only of a call that has hooks at its start torch asks for hooks at its end.
    handle = register_module_forward_hook(lambda *rest: None)
    with torch.device("meta"):
        watch.__enter__()
        module(inputs)
        assert module.device_amid.type == "meta"
        assert seen == ["tanh"]
        assert watch not in _get_current_function_mode_stack()
        assert torch.empty(1).device.type == "meta"
    handle.remove()
    assert not nn.modules.module._global_forward_hooks
    assert _get_current_function_mode_stack() == []
