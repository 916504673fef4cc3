"""Which cures are worth trying for which cause: a literal table, best first, that needs no torch.

What is listed comes from trials on ten hidden sigmoid layers (width 64, scikit-learn's digits, batch 32, 900 steps,
three seeds). Under plain descent at rate 0.1 the untouched network, ReLU alone, Glorot's or He's weights alone, layer
normalisation, clipping, Adam and a tenfold rate all stay at chance, and tanh alone gets to 18-43 %; ReLU with He's
weights, tanh with Glorot's, GELU with critical ones, batch normalisation, and critical weights for the sigmoid itself
reach 96 to 100 %. An exchange of the activation therefore comes together with new weights.
"""

PRESCRIPTIONS: dict[str, tuple[str, ...]] = {
    "activation_slope": (
        "exchange_activation:relu+redraw_weights:he",
        "exchange_activation:tanh+redraw_weights:glorot",
        "insert_normalisation",
        "redraw_weights:critical",
        "exchange_activation:gelu+redraw_weights:critical",
        "exchange_optimizer:adam",
        "exchange_activation:relu",
    ),
    "saturation": (
        "redraw_weights:critical",
        "insert_normalisation",
        "exchange_activation:relu+redraw_weights:he",
        "change_learning_rate:x0.1",
        "exchange_activation:relu",
    ),
    "weight_scale": (
        "redraw_weights:critical",
        "redraw_weights:he",
        "redraw_weights:glorot",
        "insert_normalisation",
        "clip_gradients",
        "change_learning_rate:x0.1",
    ),
    "depth": (
        "redraw_weights:critical",
        "insert_normalisation",
        "exchange_activation:relu+redraw_weights:he",
        "exchange_optimizer:adam",
    ),
    "learning_rate": (
        "change_learning_rate:x0.1",
        "change_learning_rate:x10",
        "change_learning_rate:x0.01",
        "change_learning_rate:x100",
        "clip_gradients",
        "exchange_optimizer:adam",
        "exchange_activation:leaky_relu",
    ),
    "input_scale": (
        "insert_normalisation",
        "change_learning_rate:x0.1",
        "redraw_weights:critical",
        "exchange_optimizer:adam",
        "clip_gradients",
    ),
    "normalisation": (
        "insert_normalisation",
        "redraw_weights:critical",
        "change_learning_rate:x0.1",
        "clip_gradients",
    ),
    "number_format": (
        "change_learning_rate:x0.1",
        "clip_gradients",
        "insert_normalisation",
        "redraw_weights:critical",
    ),
    "loss": (
        "clip_gradients",
        "change_learning_rate:x0.1",
        "exchange_optimizer:adam",
    ),
    "pooling": (
        "insert_normalisation",
        "redraw_weights:critical",
        "exchange_optimizer:adam",
        "change_learning_rate:x0.1",
        "clip_gradients",
    ),
    "skip": (
        "insert_normalisation",
        "redraw_weights:critical",
        "exchange_optimizer:adam",
        "change_learning_rate:x0.1",
        "clip_gradients",
    ),
    "recurrence": (
        "clip_gradients",
        "exchange_optimizer:adam",
        "insert_normalisation",
        "change_learning_rate:x0.1",
    ),
    "gradient": (
        "exchange_optimizer:adam",
        "clip_gradients",
        "insert_normalisation",
        "redraw_weights:critical",
        "change_learning_rate:x0.1",
        "change_learning_rate:x10",
    ),
    "clipping": (
        "change_learning_rate:x10",
        "exchange_optimizer:adam",
        "insert_normalisation",
        "change_learning_rate:x0.1",
    ),
    "optimizer": (
        "exchange_optimizer:adam",
        "change_learning_rate:x0.1",
        "change_learning_rate:x10",
        "insert_normalisation",
        "clip_gradients",
    ),
    "target_scale": (
        "exchange_optimizer:adam",
        "change_learning_rate:x0.1",
        "change_learning_rate:x10",
        "clip_gradients",
    ),
    "batch_size": ("change_learning_rate:x0.1", "change_learning_rate:x0.01", "clip_gradients"),
    "symmetry": ("redraw_weights:he", "redraw_weights:glorot", "redraw_weights:critical"),
    "regularisation": (),
    "accumulation": (),
    "disconnection": (),
    "activation": (),
    "unknown": (
        "insert_normalisation",
        "redraw_weights:critical",
        "change_learning_rate:x0.1",
        "change_learning_rate:x10",
        "exchange_optimizer:adam",
        "clip_gradients",
        "exchange_activation:relu+redraw_weights:he",
    ),
}
"""Cause to labels of cures, best first; a `+` joins the parts of a pair. None where only its author can correct the
program, and the finding says how."""

MEASURES_AGAINST: dict[str, tuple[str, ...]] = {
    "vanishing": (
        "exchange_activation",
        "redraw_weights",
        "insert_normalisation",
        "exchange_optimizer",
        "change_learning_rate:up",
    ),
    "exploding": ("redraw_weights", "insert_normalisation", "clip_gradients", "change_learning_rate:down"),
    "saturated": (
        "exchange_activation",
        "redraw_weights",
        "insert_normalisation",
        "change_learning_rate:down",
        "exchange_optimizer",
    ),
    "dead": (
        "exchange_activation",
        "redraw_weights",
        "insert_normalisation",
        "change_learning_rate:down",
        "clip_gradients",
        "exchange_optimizer",
    ),
    "stuck": (
        "exchange_activation",
        "redraw_weights",
        "insert_normalisation",
        "change_learning_rate:up",
        "exchange_optimizer",
    ),
    "non_finite": (
        "clip_gradients",
        "change_learning_rate:down",
        "redraw_weights",
        "insert_normalisation",
        "exchange_optimizer",
    ),
    "stalled": (
        "exchange_activation",
        "redraw_weights",
        "insert_normalisation",
        "change_learning_rate:up",
        "change_learning_rate:down",
        "exchange_optimizer",
        "clip_gradients",
    ),
    "thrashing": ("change_learning_rate:down", "clip_gradients", "insert_normalisation", "exchange_optimizer"),
    "diverging": ("change_learning_rate:down", "clip_gradients", "insert_normalisation", "exchange_optimizer"),
    "oscillating": ("change_learning_rate:down", "clip_gradients", "insert_normalisation", "exchange_optimizer"),
    "noisy": ("change_learning_rate:down", "clip_gradients", "exchange_optimizer"),
    "uneven": ("redraw_weights", "insert_normalisation", "exchange_optimizer", "exchange_activation"),
    "collapsed": ("redraw_weights", "insert_normalisation", "exchange_activation"),
    "fading_memory": ("exchange_optimizer", "insert_normalisation", "change_learning_rate:up"),
    "exploding_memory": ("clip_gradients", "change_learning_rate:down", "exchange_optimizer", "redraw_weights"),
    "disconnected": (),
    "accumulating": (),
    "mismatched_loss": (),
    "over_regularised": (),
    "symmetric": ("redraw_weights",),
    "linear": ("exchange_activation", "redraw_weights", "insert_normalisation"),
    "unscaled_input": (
        "insert_normalisation",
        "change_learning_rate:down",
        "change_learning_rate:up",
        "redraw_weights",
        "exchange_optimizer",
        "clip_gradients",
    ),
    "underflowing": ("insert_normalisation", "redraw_weights", "exchange_activation", "exchange_optimizer"),
}
"""Condition to the cures that can act on it at all; of the learning rate also in which direction."""


def cures_for(condition: str, cause: str) -> tuple[str, ...]:
    """Labels of the cures that fit a condition with this cause, best first.

    Args:
        condition: A key of `MEASURES_AGAINST`.
        cause: A key of `PRESCRIPTIONS`; what is not in the table counts as `unknown`.

    Returns:
        Labels, each of whose parts can act on the condition.

    Example:
        >>> cures_for("thrashing", "learning_rate")[:2]
        ('change_learning_rate:x0.1', 'change_learning_rate:x0.01')
        >>> cures_for("stuck", "learning_rate")[0]
        'change_learning_rate:x10'
    """
    labels = PRESCRIPTIONS.get(cause, PRESCRIPTIONS["unknown"])
    return tuple(label for label in labels if can_act_on(condition, label))


def can_act_on(condition: str, label: str) -> bool:
    """Whether every part of a cure can act on a condition.

    Args:
        condition: A condition's name; one that the table lacks can be acted on by every cure.
        label: A cure's label, with `+` between the parts of a pair.
    """
    if condition not in MEASURES_AGAINST:
        return True
    measures = MEASURES_AGAINST[condition]
    return all(_measure(part) in measures for part in label.split("+"))


def _measure(part: str) -> str:
    """A cure's name, for the learning rate with its direction; an absolute rate counts as a reduction."""
    name, _, setting = part.partition(":")
    if name != "change_learning_rate":
        return name
    is_raised = setting.startswith("x") and float(setting[1:]) > 1.0
    return f"{name}:{'up' if is_raised else 'down'}"
