"""What a trial does inside the script that it runs: applies a cure at its moment, keeps the data's order, notes both.

The control runs under the same treatment with no cure, so that nothing but the cure differs between the two.
"""

from functools import partial
from hashlib import blake2b
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradiometer.curing.trials.evaluation import EvaluationWatch
from gradiometer.curing.trials.gathering import Gathering
from gradiometer.curing.trials.live_treatment import LiveTreatment, Regimen
from gradiometer.curing.trials.passage import tensors_in
from gradiometer.curing.trials.range_test import RateSweep, hold_still
from gradiometer.errors import CureRefusedError
from gradiometer.launching.limits import TrainingStopped
from gradiometer.launching.streams import ModelStream, fingerprint_of
from gradiometer.session import Session


class TrialTreatment:
    """The moments of a trial, as `gradiometer.launching.treatment.Treatment` names them.

    Args:
        session: The session that measures the trial.
        regimen: What to apply.
        is_range_test: Raise the learning rates step by step, and end the trial when it has seen enough.
        holds_still: Put the weights back after every step.
        gathering: What keeps the first root's inputs, and ends the trial when it is full; None in every other trial.

    Attributes:
        sweep: What raises them; None in every other trial.
    """

    def __init__(
        self,
        session: Session,
        regimen: Regimen,
        *,
        is_range_test: bool = False,
        holds_still: bool = False,
        gathering: Gathering | None = None,
    ) -> None:
        self.session = session
        self.regimen = regimen
        self.live = LiveTreatment(session, regimen)
        self.stream = ModelStream(regimen.seed)
        self.evaluation = EvaluationWatch(lambda: session.probe.step, lambda: session.probe.full_step.is_closed)
        self.sweep = RateSweep(lambda: session.probe.step) if is_range_test else None
        self.holds_still = holds_still
        self.gathering = gathering
        self._has_fingerprint = False

    def while_constructing(self, optimizer: Optimizer, groups: list[dict[str, Any]]) -> None:
        """Note the weights before a cure changes them, then apply what comes before the optimizer."""
        self._note_weights(list(tensors_in([group["params"] for group in groups])))
        self.live.while_constructing(optimizer, groups)

    def when_constructed(self, optimizer: Optimizer) -> None:
        """Apply what acts on the optimizer itself."""
        self.live.when_constructed(optimizer)
        if self.holds_still:
            hold_still(optimizer)
        if self.sweep is not None:
            try:
                self.sweep.take(optimizer)
            except CureRefusedError as refusal:
                self.session.writer.add_facts({"refusal": str(refusal)})
                raise TrainingStopped from None

    def before_first_forward(
        self, root: nn.Module, name: str, optimizers: tuple[Optimizer, ...], inputs: tuple[Any, ...]
    ) -> None:
        """Note how long the start took, then apply what comes before the root is first called."""
        self._note_weights(list(root.parameters()))
        self.session.writer.add_facts({"startup_seconds": monotonic() - self.regimen.started})
        self.live.before_first_forward(root, name, optimizers, inputs)

    def enter_forward(self, root: nn.Module, args: tuple[Any, ...]) -> None:
        """Draw from the model's own stream from here on, and note the batch."""
        if torch.is_grad_enabled():
            if self.sweep is not None and self.sweep.is_over(self.session.probe.full_step.latest.loss):
                raise TrainingStopped
            if self.gathering is not None and self.gathering.is_full:
                raise TrainingStopped
            self._note_inputs(root, args)
            if next(tensors_in(args), None) is None:
                self.live.passage.note_keywords(root, partial(self._note_inputs, root))
        self.evaluation.note_forward(root)
        self.stream.enter()
        self.live.enter_forward(root, args)

    def leave_forward(self, output: Any) -> None:
        """Go back to the script's own stream."""
        self.live.leave_forward(output)
        self.stream.leave()
        self.live.passage.remember(output, self.session.probe.step)

    def follows_forwards(self) -> bool:
        """A trial notes every batch."""
        return True

    def _note_weights(self, tensors: list[Tensor]) -> None:
        """Digest the weights that training starts from, before a cure changes them."""
        if not self._has_fingerprint:
            self._has_fingerprint = True
            shaped = [tensor for tensor in tensors if not nn.parameter.is_lazy(tensor)]
            self.session.writer.add_facts({"initial_weights_fingerprint": fingerprint_of(shaped)})

    def _note_inputs(self, root: nn.Module, inputs: Any) -> None:
        """Digest a batch, and keep it where inputs are gathered."""
        probe = self.session.probe
        batch = [tensor for tensor in tensors_in(inputs) if not self.live.passage.made(tensor)]
        if self.gathering is not None:
            self.gathering.note(root, probe.step, batch)
        if batch:  # a part of the step's fingerprint for every call of a root
            digest = blake2b((probe.fingerprint or "").encode(), digest_size=16)
            digest.update(fingerprint_of(batch).encode())
            probe.fingerprint = digest.hexdigest()
