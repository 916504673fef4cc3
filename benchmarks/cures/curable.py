"""Which faults a change of model, optimizer or loss can cure while the script stays as it is: fixed before any result.

A fault is curable where such a change exists at all, whether gradiometer has it or not. What is left are trainings in
which the script itself takes away what a cure would need: the gradient, the parameters, the numbers, the answer.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Curability:
    """Whether a fault can be cured in place.

    Attributes:
        is_curable: Whether it can.
        reason: By what change, or why by none.
    """

    is_curable: bool
    reason: str


def by(change: str) -> Curability:
    """Curable by a change."""
    return Curability(is_curable=True, reason=change)


def never(reason: str) -> Curability:
    """Not curable for a reason."""
    return Curability(is_curable=False, reason=reason)


CURABILITY: dict[str, Curability] = {
    "deep sigmoid": by("another activation, weights or a norm"),
    "softmax between layers": by("another activation in its place, or a norm behind it"),
    "no activation": by("an activation in the places where none is"),
    "deep tanh": by("weights at the critical scale, a norm, skips"),
    "deep relu": by("weights at the critical scale, a norm, skips"),
    "collapsed depth": by("orthogonal weights at the critical scale, a norm, skips"),
    "large weights": by("new weights"),
    "small weights": by("new weights"),
    "one large layer": by("new weights"),
    "one small layer": by("new weights"),
    "zero weights": by("new weights"),
    "constant weights": by("new weights"),
    "rate far too small": by("another rate"),
    "rate too small": by("another rate"),
    "rate too large": by("another rate"),
    "rate far too large": by("another rate"),
    "momentum too large": by("another rate or optimizer"),
    "raw pixels": by("a norm at the network's entrance"),
    "one large feature": by("a norm at the network's entrance"),
    "raw table": by("a norm at the network's entrance"),
    "raw targets": by("an output in the targets' unit"),
    "softmax before cross-entropy": by("the loss that belongs to the output"),
    "sigmoid before cross-entropy": by("the loss that belongs to the output"),
    "sigmoid with squared error": by("the loss that belongs to the output"),
    "relu before the loss": by("no ReLU there"),
    "softmax over one unit": by("a sigmoid in its place"),
    "softmax over the batch": by("a softmax over the classes"),
    "targets that broadcast": by("targets in the outputs' shape"),
    "gradients never zeroed": by("gradients zeroed after each step"),
    "gradients zeroed before the step": never("no gradient is left when the optimizer steps: two lines in wrong order"),
    "detached layer": never("what comes before it gets no gradient: the author cut it off"),
    "layer not in the optimizer": never("which parameters are trained is the author's choice"),
    "only the output layer in the optimizer": never("which parameters are trained is the author's choice"),
    "frozen by mistake": never("it looks the same on purpose"),
    "heavy dropout": by("less dropout"),
    "heavy decay": by("less decay"),
    "dead layer": by("new weights and biases, or another activation"),
    "dead network": by("new weights and biases, or another activation"),
    "saturated layer": by("new weights and biases, or another activation"),
    "half precision rounds updates away": by("weights in single precision"),
    "Adam in half precision": by("weights in single precision"),
    "gradients below half precision": by("a scaled loss, or weights in single precision"),
    "logarithm of zero": never("the forward pass itself gives no number: the author's formula is wrong"),
    "loss of zero shares": never("the loss itself gives no number: the author's formula is wrong"),
    "feature that never changes": never("the inputs are no numbers before the network sees them"),
    "fading memory": by("orthogonal recurrent weights, gates"),
    "exploding memory": by("orthogonal recurrent weights"),
    "sequences too long for an RNN": by("gates"),
    "closed forget gates": by("open gates"),
    "norm of two examples": by("a norm of each example by itself"),
    "one example at a time": by("a lower rate"),
    "shuffled labels": never("nothing is to be learned"),
}
"""Every fault of the truth benchmark."""
