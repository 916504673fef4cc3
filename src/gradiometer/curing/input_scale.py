"""Standardise the input.

What it changes:
    Before every forward the model's first tensor of numbers is shifted and scaled so that each feature (each channel
    of images) has mean 0 and spread 1; what is further out than 10 spreads is cut to that. Means and spreads come
    from inputs that a run of the script has gathered. They become the buffers `input_mean` and `input_spread` of the
    model, so that a checkpoint has them and the model is used on raw inputs as before; its `state_dict` has two more
    keys. Every weight stays.

When it helps:
    Inputs of 0 to 255, tables whose columns have different units, one feature a thousand times larger than the
    others, inputs far from zero. Large inputs saturate the first layer and make its gradient as large as they are;
    a large mean sends every unit the same signal.

What it costs:
    One subtraction and one division of the input per forward. Features that are all of one kind and whose sizes mean
    something (a spectrum) lose the ratio between them.

Source:
    LeCun, Bottou, Orr, Müller, "Efficient BackProp", 1998, section 4.3. The spread leaves out the outermost hundredth
    at either end, and the cut at 10 spreads is there for the same reason: one wrong entry would decide both.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from gradiometer.curing.cure import Moment, Need, Patient, Placement, WithoutSetting
from gradiometer.curing.entrance import root_of
from gradiometer.curing.survey import weighted_layers
from gradiometer.errors import CureRefusedError

LEAST_ROWS = 32
"""Values of a feature below which its mean and spread are too rough (18 % off); all features then share one of each."""

FURTHEST = 10.0
"""Spreads from the mean at which values are cut."""

NEGLIGIBLE = 0.05
"""Where every mean is this near 0, and every spread as near 1, there is nothing to standardise."""


@dataclass(frozen=True, slots=True)
class InputScale:
    """What an input is shifted and scaled by.

    Attributes:
        mean: Means, in a shape that broadcasts over an example's.
        spread: Spreads, all above 0, same shape.
        axis: Axis of the features in a batch; None where all values share one mean and one spread.
    """

    mean: Tensor
    spread: Tensor
    axis: int | None


@dataclass(frozen=True, slots=True)
class StandardiseInput(WithoutSetting):
    """Shift and scale the input before every forward."""

    name: ClassVar[str] = "standardise_input"
    moment: ClassVar[Moment] = "construction"
    placement: ClassVar[Placement] = "before_optimizer"
    needs: ClassVar[frozenset[Need]] = frozenset({"samples"})

    def apply(self, patient: Patient) -> str:
        """Register the buffers, and the hook that goes by them."""
        _, root = root_of(patient)
        scale = self._scale(patient)
        device = next((parameter.device for parameter in root.parameters()), None)
        root.register_buffer("input_mean", scale.mean.to(device))
        root.register_buffer("input_spread", scale.spread.to(device))
        root.register_forward_pre_hook(standardise, with_kwargs=True)
        what = "the whole input" if scale.axis is None else f"{scale.mean.numel()} feature(s) of the input"
        means, spreads = scale.mean.abs().max(), (scale.spread.min(), scale.spread.max())
        return f"{what} standardised: means up to {means:.3g}, spreads {spreads[0]:.3g} to {spreads[1]:.3g}"

    def _scale(self, patient: Patient) -> InputScale:
        """Mean and spread of each feature.

        Raises:
            CureRefusedError: No numbers were gathered, they do not vary, or they are standardised already.
        """
        _, root = root_of(patient)
        samples = patient.samples
        if samples is None or not samples.is_floating_point() or samples.numel() == 0:
            raise CureRefusedError("no inputs of floating-point numbers were gathered; whole numbers stay as they are")
        if hasattr(root, "input_mean") or hasattr(root, "input_spread"):
            raise CureRefusedError("the model has an attribute input_mean or input_spread already")
        axis = feature_axis(patient, samples)
        rows = rows_of(samples, axis)
        if len(rows) < LEAST_ROWS:
            axis, rows = None, rows_of(samples, None)
        if len(rows) < 2 or not bool((rows != rows[0]).any()):
            raise CureRefusedError("the inputs that were gathered do not vary")
        mean, spread = (values.float() for values in mean_and_spread(rows))
        if bool((mean.abs() < NEGLIGIBLE).all()) and bool(((spread - 1.0).abs() < NEGLIGIBLE).all()):
            raise CureRefusedError("the inputs have mean 0 and spread 1 already")
        shape = shape_for(samples, axis)
        return InputScale(mean.reshape(shape), spread.reshape(shape), axis)

    def snippet(self, patient: Patient) -> str:
        """Statistics of the inputs, two buffers, and the hook."""
        scale, (root, _) = self._scale(patient), root_of(patient)
        assert patient.samples is not None
        turned = "inputs.reshape(-1, 1)" if scale.axis is None else f"inputs.movedim({scale.axis}, -1).flatten(0, -2)"
        shape = shape_for(patient.samples, scale.axis)
        return (
            "import torch\n\n"
            "# `inputs`: examples of what the model is given, a few hundred or more\n"
            f"rows = {turned}.double()\n{_STATISTICS}"
            f"device = next({root}.parameters()).device\n"
            f'{root}.register_buffer("input_mean", mean.float().reshape({shape}).to(device))\n'
            f'{root}.register_buffer("input_spread", spread.float().reshape({shape}).to(device))\n\n\n'
            f"{_HOOK}\n\n{root}.register_forward_pre_hook(standardise, with_kwargs=True)\n"
        )


def feature_axis(patient: Patient, samples: Tensor) -> int | None:
    """Axis of a batch along which values are of one kind: features of a table or sequence, channels of an image."""
    if samples.dim() < 2:
        return None
    layers = weighted_layers(patient)
    is_convolved = bool(layers) and layers[0][1].weight.dim() == samples.dim() > 2
    return 1 if is_convolved or samples.dim() > 3 else samples.dim() - 1


def rows_of(samples: Tensor, axis: int | None) -> Tensor:
    """Finite values with features last [value feature]."""
    rows = samples.double()
    rows = rows.reshape(-1, 1) if axis is None else rows.movedim(axis, -1).flatten(0, -2)
    return rows[rows.isfinite().all(1)]


def shape_for(samples: Tensor, axis: int | None) -> list[int]:
    """Shape in which one number for each feature broadcasts over a batch."""
    if axis is None:
        return []
    return [samples.shape[axis], *([1] * (samples.dim() - 1 - axis))]


def mean_and_spread(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each feature, the outermost hundredth at either end pulled in.

    A feature that varies only there keeps its plain spread; one that is constant is given the middle one of the
    others, so that it is at the same scale should it ever vary.

    Args:
        rows: Finite values, not all alike [value feature].

    Returns:
        Means and spreads [feature]; spreads are above 0.
    """
    ordered = rows.sort(0).values
    cut = len(rows) // 100
    inner = rows.clamp(ordered[cut], ordered[len(rows) - 1 - cut])
    mean, spread = inner.mean(0), inner.std(0, unbiased=False)
    plain_mean, plain_spread = rows.mean(0), rows.std(0, unbiased=False)
    is_narrow = spread <= 1e-7 * mean.abs()
    mean, spread = plain_mean.where(is_narrow, mean), plain_spread.where(is_narrow, spread)
    varies = spread > 1e-7 * mean.abs()
    return mean, spread.where(varies, spread[varies].median())


_STATISTICS = """\
rows = rows[rows.isfinite().all(1)]
ordered, cut = rows.sort(0).values, len(rows) // 100
inner = rows.clamp(ordered[cut], ordered[len(rows) - 1 - cut])
mean, spread = inner.mean(0), inner.std(0, unbiased=False)
is_narrow = spread <= 1e-7 * mean.abs()
mean, spread = rows.mean(0).where(is_narrow, mean), rows.std(0, unbiased=False).where(is_narrow, spread)
varies = spread > 1e-7 * mean.abs()
spread = spread.where(varies, spread[varies].median())
"""


def standardise(
    module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Forward pre-hook of a root with the buffers: standardise its first tensor of floating-point numbers.

    Raises:
        TypeError: There is none among its arguments.
    """
    values = [*args, *keywords.values()]
    for index, value in enumerate(values):
        if isinstance(value, Tensor) and value.is_floating_point():
            scaled = (value - module.input_mean.to(value.device)) / module.input_spread.to(value.device)  # type: ignore[operator]
            values[index] = scaled.clamp(-FURTHEST, FURTHEST).to(value.dtype)
            return tuple(values[: len(args)]), dict(zip(keywords, values[len(args) :], strict=True))
    raise TypeError("standardise_input found no tensor of floating-point numbers among the model's arguments")


_HOOK = f"""\
def standardise(module, args, keywords):
    values = [*args, *keywords.values()]
    for index, value in enumerate(values):
        if torch.is_tensor(value) and value.is_floating_point():
            scaled = (value - module.input_mean.to(value.device)) / module.input_spread.to(value.device)
            values[index] = scaled.clamp(-{FURTHEST:g}, {FURTHEST:g}).to(value.dtype)
            return tuple(values[: len(args)]), dict(zip(keywords, values[len(args) :]))
    raise TypeError("no tensor of floating-point numbers among the model's arguments")
"""
