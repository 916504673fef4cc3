"""How probable a restricted Boltzmann machine holds pictures to be, exactly: all states of its hidden units are summed.

For hidden units h the visible ones can be summed away one by one, so Z needs 2^hidden terms, which a machine of a dozen
hidden units has time for. No machine of useful size can be judged that way; small ones show what learning rules do.

Source:
    Hinton, "A practical guide to training restricted Boltzmann machines", 2010, section 3; the sum itself is exact.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gradiometer.curing.learners.rbm import Rbm, RbmSettings, free_energy
from gradiometer.errors import SettingsError

MOST_HIDDEN = 16
"""Hidden units whose states are summed at most: 65,536 states."""


def log_partition(machine: Rbm) -> float:
    """Logarithm of the sum of exp(-energy) over all states of a machine with binary units on both sides, nats.

    Raises:
        SettingsError: It has too many hidden units.

    Example:
        >>> nothing = Rbm(torch.zeros(2, 3), torch.zeros(2), torch.zeros(3))
        >>> round(2.0 ** 5 - torch.tensor(log_partition(nothing)).exp().item(), 3)
        0.0
    """
    count = len(machine.hidden_bias)
    if count > MOST_HIDDEN:
        raise SettingsError(f"{count} hidden units have too many states to sum; {MOST_HIDDEN} are the most.")
    numbers = torch.arange(2**count)
    states = (numbers[:, None] >> torch.arange(count) & 1).double()
    drive = states @ machine.weight.double() + machine.visible_bias.double()
    each = states @ machine.hidden_bias.double() + F.softplus(drive).sum(1)
    return float(each.logsumexp(0))


def mean_log_likelihood(machine: Rbm, pictures: Tensor) -> float:
    """Mean logarithm of the probability of pictures of zeros and ones, nats a picture.

    Args:
        machine: A machine with binary units on both sides.
        pictures: Zeros and ones [example visible].
    """
    exact = Rbm(machine.weight.double(), machine.hidden_bias.double(), machine.visible_bias.double())
    return float(-free_energy(exact, pictures.double(), RbmSettings()).mean()) - log_partition(machine)
