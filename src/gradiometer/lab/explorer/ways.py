"""All ways from one unit to the cost: how many there are, what they add up to, and the greatest of them."""

from dataclasses import dataclass

import numpy as np

from gradiometer.lab.explorer.network import DigitNetwork
from gradiometer.lab.explorer.passing import Passed
from gradiometer.lab.explorer.scenes import slopes_at
from gradiometer.schema import FloatArray

MOST_WAYS = 5


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways from each unit's pre-activation to the cost.

    Attributes:
        total: Sum over all of them: the gradient by the pre-activation [unit].
        counts: How many are not zero [unit]; whole numbers of any size.
        products: The greatest, greatest first; zero where there are no more [unit way].
        units: The units that each passes, from this layer to the output [unit way layer].
    """

    total: FloatArray
    counts: list[int]
    products: FloatArray
    units: np.ndarray


def ways_from(network: DigitNetwork, passed: Passed, layer: int) -> Ways:
    """Find the ways from a layer to the cost, from the output down.

    The derivative of one pre-activation by one below is weight times slope; along a way these multiply, over all ways
    they add up. Autograd's errors are used at the output alone.

    Args:
        network: The network.
        passed: One digit that was passed through it.
        layer: The layer, counted from 1.
    """
    errors = passed.activation_errors[-1][0].numpy() * slopes_at(network, network.depth, passed.pre_activations[-1][0])
    own = np.arange(len(errors))
    ways = Ways(errors, [int(error != 0.0) for error in errors], errors[:, None], own[:, None, None])
    for number in range(network.depth - 1, layer - 1, -1):
        weight = network.linears[number].weight.detach().numpy()
        table = weight * slopes_at(network, number, passed.pre_activations[number - 1][0])
        ways = one_layer_down(table, ways)
    return ways


def one_layer_down(table: FloatArray, above: Ways) -> Ways:
    """The ways from one layer's units, from those of the layer above.

    Args:
        table: Derivative of each pre-activation above by each here [above unit].
        above: The ways from above.
    """
    products = table.T[:, :, None] * above.products
    flat = products.reshape(len(products), -1)
    chosen = np.argsort(-np.abs(flat), axis=1, kind="stable")[:, :MOST_WAYS]
    upper, way = np.divmod(chosen, above.products.shape[1])
    here = np.broadcast_to(np.arange(len(flat))[:, None, None], (*chosen.shape, 1))
    is_passed = (table != 0.0).astype(object)
    return Ways(
        total=table.T @ above.total,
        counts=list(is_passed.T @ np.array(above.counts, dtype=object)),
        products=np.take_along_axis(flat, chosen, axis=1),
        units=np.concatenate([here, above.units[upper, way]], axis=2),
    )
