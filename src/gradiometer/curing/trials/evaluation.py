"""Notes the losses that a script computes while it evaluates its model, without changing anything about the training.

torch has no hook for a loss, so the loss functions of `torch.nn.functional`, which the modules of `torch.nn` go
through, are wrapped while a trial runs and put back afterwards. A result is noted where it is one number and
the model was last called with gradients off, or in evaluation mode without a backward pass to follow. What is noted
is the number alone: no random number is drawn and no tensor kept. Losses written out by hand
(`(output - target).square().mean()`) are not seen.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradiometer.measuring.backward import Pairs, start_listening, stop_listening
from gradiometer.measuring.guarding import PACKAGE_FOLDER, TORCH_FOLDER, is_traced, short_path, user_frame

LOSS_FUNCTIONS = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "ctc_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "linear_cross_entropy",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
)
"""Losses of `torch.nn.functional`; some came later than the oldest torch that is supported."""

MOST_EVALUATIONS = 512
"""Evaluations kept for one call site; beyond them every other one goes, from the second on."""

MOST_SITES = 32
"""Call sites that are followed; a script with more has no few losses to compare."""

MOST_CALLERS = 6
"""Frames behind the call of a loss that tell one evaluation from another: of training or of validation data."""


@dataclass(slots=True)
class Evaluations:
    """The losses at one call site, summed up evaluation by evaluation.

    Attributes:
        sums: Step to the sum of the finite losses, their count, and the count of those that were not finite.
        stride: Of how many evaluations one is kept.
        seen_count: Evaluations there were.
    """

    sums: dict[int, list[float]] = field(default_factory=dict)
    stride: int = 1
    seen_count: int = 0

    def add(self, step: int, loss: float) -> None:
        """Add one loss to the evaluation after so many steps."""
        if step not in self.sums:
            self._make_room()
            self.sums[step] = [0.0, 0.0, 0.0]
            self.seen_count += 1
        entry = self.sums[step]
        if abs(loss) < float("inf"):
            entry[0] += loss
            entry[1] += 1.0
        else:
            entry[2] += 1.0

    def _make_room(self) -> None:
        """Leave out the last evaluation where it is none to be kept, every other one where there are too many."""
        if self.sums and (self.seen_count - 1) % self.stride:
            self.sums.popitem()
        if len(self.sums) >= MOST_EVALUATIONS:
            self.sums = {step: entry for place, (step, entry) in enumerate(self.sums.items()) if place % 2 == 0}
            self.stride *= 2

    def rows(self) -> list[tuple[int, float]]:
        """Step and mean loss of each evaluation; inf where one of its losses was not finite."""
        return [
            (step, float("inf") if lost else total / count) for step, (total, count, lost) in sorted(self.sums.items())
        ]


class EvaluationWatch:
    """Notes the losses of a script's evaluations from `start` to `stop`.

    Args:
        step_now: Tells how many optimizer steps the training has taken.
        is_blind: Tells that calls of roots are not followed, since the script compiles: then every loss that is
            computed with gradients off counts.

    Attributes:
        forward_count: Calls of a root that evaluated it.
        fault: The first fault of the watch's own; after it nothing more is noted.
    """

    def __init__(self, step_now: Callable[[], int], is_blind: Callable[[], bool] = lambda: False) -> None:
        self.step_now = step_now
        self.is_blind = is_blind
        self.forward_count = 0
        self.fault = ""
        self._sites: dict[str, Evaluations] = {}
        self._offsets: dict[str, list[tuple[int, ...]]] = {}
        self._pending: list[tuple[str, int, float]] = []
        self._is_evaluating = False
        self._is_inside = False
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    def start(self) -> None:
        """Wrap the loss functions, and listen for backward passes."""
        for name in LOSS_FUNCTIONS:
            original = getattr(F, name, None)
            if original is not None:
                self._wrapped[name] = (original, self._watching(original))
                setattr(F, name, self._wrapped[name][1])
        start_listening(self)

    def stop(self) -> None:
        """Put the functions back; one that somebody else has exchanged since stays theirs."""
        stop_listening(self)
        for name, (original, wrapper) in self._wrapped.items():
            if getattr(F, name) is wrapper:
                setattr(F, name, original)
        self._wrapped = {}
        self._settle()

    def note_forward(self, root: nn.Module) -> None:
        """A root is about to be called: with gradients off or in evaluation mode it is evaluated, else trained."""
        self._is_evaluating = not torch.is_grad_enabled() or not root.training
        if self._is_evaluating:
            self.forward_count += 1
        else:
            self._settle()

    def before_backward(self, tensors: tuple[Tensor, ...]) -> None:
        """A gradient is asked for: the losses with a graph since the last training forward were no evaluation."""
        self._pending.clear()

    def after_backward(self) -> None:
        """It has ended: nothing to do."""

    def wants_gradients_of(self, inputs: Sequence[Tensor]) -> bool:
        """Whether `torch.autograd.grad` asks for gradients of parameters: then the script trains."""
        return any(isinstance(tensor, nn.Parameter) for tensor in inputs)

    def before_gradients(self, tensors: tuple[Tensor, ...]) -> None:
        """It does: the same as a backward pass."""
        self._pending.clear()

    def after_gradients(self, gradients: Pairs) -> None:
        """It has ended: nothing to do."""

    def facts(self) -> dict[str, Any]:
        """What was noted, as it is kept in the run file: the losses by call site, the first seen first."""
        losses = {site: kept.rows() for site, kept in self._sites.items()}
        return {"forward_count": self.forward_count, "losses": losses, "fault": self.fault}

    def _settle(self) -> None:
        """No backward pass came: the losses that had a graph belong to an evaluation after all."""
        for site, step, loss in self._pending:
            self._add(site, step, loss)
        self._pending.clear()

    def _watching(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def watched_loss(*args: Any, **kwargs: Any) -> Any:
            if self._is_inside or not (self._is_evaluating or self._is_blindly_evaluating()):
                return original(*args, **kwargs)
            self._is_inside = True  # a torch function mode calls the function again
            try:
                result = original(*args, **kwargs)
            finally:
                self._is_inside = False
            self._note(result)
            return result

        # What torch gives its own wrappers that compilers are to look through: they take the original.
        watched_loss.__dict__.update({"__script_if_tracing_wrapper": True, "__original_fn": original})
        return watched_loss

    def _is_blindly_evaluating(self) -> bool:
        return not torch.is_grad_enabled() and self.is_blind()

    def _note(self, result: Any) -> None:
        """Note a result where it is a loss; a fault of ours ends the watch and never the script."""
        if self.fault or not isinstance(result, Tensor) or is_traced():
            return
        try:
            if result.numel() != 1 or not result.is_floating_point() or result.device.type == "meta":
                return
            if torch._C._functorch.is_functorch_wrapped_tensor(result):
                return
            site, step, loss = self._name_of(*evaluation_site()), self.step_now(), result.item()
        except Exception as error:
            self.fault = f"{type(error).__name__}: {error}"
            return
        if result.requires_grad:
            self._pending.append((site, step, loss))
        else:
            self._add(site, step, loss)

    def _name_of(self, places: str, offsets: tuple[int, ...]) -> str:
        """The places, with a number behind them for the second and further calls on the same lines."""
        alike = self._offsets.setdefault(places, [])
        if offsets not in alike:
            alike.append(offsets)
        number = alike.index(offsets) + 1
        return places if number == 1 else f"{places} #{number}"

    def _add(self, site: str, step: int, loss: float) -> None:
        if site in self._sites or len(self._sites) < MOST_SITES:
            self._sites.setdefault(site, Evaluations()).add(step, loss)


def evaluation_site() -> tuple[str, tuple[int, ...]]:
    """Where a loss is computed.

    Returns:
        The call of the loss and the calls that led there, `train.py:12 < train.py:40`, and their places in the
        compiled code, which tell two calls on one line apart.
    """
    places: list[str] = []
    offsets: list[int] = []
    frame: FrameType | None = user_frame()
    while frame is not None and len(places) < MOST_CALLERS:
        path = frame.f_code.co_filename
        if not path.startswith((PACKAGE_FOLDER, TORCH_FOLDER, "<frozen")):
            place = f"{short_path(path)}:{frame.f_lineno}"
            places += [place] if place not in places[-1:] else []
            offsets.append(frame.f_lasti)
        frame = None if frame.f_code.co_name == "<module>" else frame.f_back
    return " < ".join(places), tuple(offsets)
