"""Exchange batch normalisation for one that looks at each example by itself.

What it changes:
    Every `BatchNorm` becomes a `GroupNorm` that keeps the same weight and bias: as many groups as divide its channels
    evenly, up to 32 with at least four channels each (`exchange_normalisation:group`), or one group over all channels
    (`:layer`). Without a word groups are taken behind convolutions and one group behind linear layers.

When it helps:
    Batch normalisation takes mean and spread from the batch. Of two or three examples these are mostly noise, and in
    training the network sees another noise at every step; of one they do not exist. It is also what makes training
    and `eval()` differ, and what mixes examples that a script wants apart.

What it costs:
    The regularisation that the noise of larger batches brings. Running means disappear from the checkpoint, names
    stay. Fused inference of convolution and norm is not possible any more.

Source:
    Wu and He, "Group normalization", ECCV 2018 (32 groups; error by batch size in its figure 1); Ba, Kiros, Hinton,
    "Layer normalization", 2016.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.standing_in import put_in_place
from gradiometer.errors import CureRefusedError, SettingsError

KINDS = ("group", "layer")
"""What it can be exchanged for."""

MOST_GROUPS, LEAST_CHANNELS = 32, 4
"""Groups of a norm, and channels in each."""

LOOP = """\
from torch import nn

places = dict(model.named_modules(remove_duplicate=False))
for first, groups in {groups!r}.items():
    old = places[first]
    new = nn.GroupNorm(groups, old.num_features, eps=old.eps, affine=False)
    new.affine, new.weight, new.bias = old.affine, old.weight, old.bias
    for place in (place for place, module in places.items() if module is old):
        parent, _, child = place.rpartition(".")
        setattr(model.get_submodule(parent), child, new.train(old.training))
"""


@dataclass(frozen=True, slots=True)
class ExchangeNormalisation(Labelled):
    """Put group normalisation in the place of batch normalisation.

    Attributes:
        kind: `group` or `layer`; None to have it chosen for each norm.
    """

    name: ClassVar[str] = "exchange_normalisation"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"

    kind: str | None = None

    @classmethod
    def parse(cls, setting: str) -> "ExchangeNormalisation":
        """Read `group` or `layer`; empty leaves it to be chosen.

        Raises:
            SettingsError: It is neither.
        """
        if setting and setting not in KINDS:
            raise SettingsError(f"there is no normalisation {setting!r} to exchange for; choose {', '.join(KINDS)}")
        return cls(setting or None)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return self.kind

    def apply(self, patient: Patient) -> str:
        """Replace the norms in the tree; their parameters go over."""
        norms = batch_norms(patient)
        for place, norm in norms.items():
            put_in_place(patient.model, {place: self._replacement_of(norm)})
        return f"{len(norms)} batch norm(s) became group norms: {listed_in_words(list(norms))}"

    def _replacement_of(self, norm: _BatchNorm) -> nn.GroupNorm:
        new = nn.GroupNorm(self._groups(norm), norm.num_features, eps=norm.eps, affine=False)
        new.affine, new.weight, new.bias = norm.affine, norm.weight, norm.bias
        return new.train(norm.training)

    def _groups(self, norm: _BatchNorm) -> int:
        is_one = self.kind == "layer" or (self.kind is None and isinstance(norm, nn.BatchNorm1d))
        return 1 if is_one else group_count(norm.num_features)

    def snippet(self, patient: Patient) -> str:
        """A loop over the norms with the groups of each."""
        return LOOP.format(groups={place: self._groups(norm) for place, norm in batch_norms(patient).items()})


def group_count(channels: int) -> int:
    """The greatest number of even groups of at least four channels, at most 32.

    Example:
        >>> group_count(64), group_count(12), group_count(7)
        (16, 3, 1)
    """
    wanted = max(1, min(MOST_GROUPS, channels // LEAST_CHANNELS))
    return next(count for count in range(wanted, 0, -1) if channels % count == 0)


def batch_norms(patient: Patient) -> dict[str, _BatchNorm]:
    """The batch norms of the model by their first place.

    Raises:
        CureRefusedError: There are none.
    """
    found = {place: module for place, module in patient.model.named_modules() if isinstance(module, _BatchNorm)}
    kept = {place: norm for place, norm in found.items() if not nn.parameter.is_lazy(norm.weight)}
    if not kept:
        raise CureRefusedError("there is no batch normalisation to exchange")
    return kept
