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
        "exchange_activation:relu",
        "scale_to_unit_variance",
        "exchange_optimizer:adam",
        "add_residual_paths",
        "pretrain_layers",
    ),
    "saturation": (
        "redraw_weights:critical",
        "insert_normalisation",
        "exchange_activation:relu+redraw_weights:he",
        "standardise_input",
        "change_learning_rate:range",
        "scale_to_unit_variance",
        "exchange_activation:relu",
    ),
    "weight_scale": (
        "redraw_weights:critical",
        "redraw_weights:he",
        "redraw_weights:glorot",
        "insert_normalisation",
        "scale_to_unit_variance",
        "redraw_recurrent_weights",
        "add_residual_paths",
        "clip_gradients",
        "change_learning_rate:range",
    ),
    "depth": (
        "redraw_weights:critical",
        "insert_normalisation",
        "exchange_activation:relu+redraw_weights:he",
        "add_residual_paths",
        "scale_to_unit_variance",
        "exchange_optimizer:adam",
        "pretrain_layers",
    ),
    "learning_rate": (
        "change_learning_rate:range",
        "change_learning_rate:x0.1",
        "change_learning_rate:x10",
        "change_learning_rate:x0.01",
        "change_learning_rate:x100",
        "exchange_optimizer:momentum",
        "clip_gradients",
        "exchange_optimizer:adam",
        "warm_up_learning_rate",
        "exchange_activation:leaky_relu",
    ),
    "input_scale": (
        "standardise_input",
        "insert_normalisation",
        "change_learning_rate:range",
        "redraw_weights:critical",
        "exchange_optimizer:adam",
        "clip_gradients",
    ),
    "normalisation": (
        "exchange_normalisation",
        "insert_normalisation",
        "redraw_weights:critical",
        "change_learning_rate:range",
        "change_learning_rate:x0.1",
        "clip_gradients",
    ),
    "number_format": (
        "keep_weights_in_float32",
        "keep_weights_in_float32+scale_loss",
        "keep_weights_in_float32+scale_loss+exchange_optimizer:adamw",
        "scale_loss",
        "change_learning_rate:range",
        "change_learning_rate:x0.1",
        "clip_gradients",
        "insert_normalisation",
        "redraw_weights:critical",
    ),
    "loss": (
        "fix_loss_pairing",
        "clip_gradients",
        "change_learning_rate:range",
        "change_learning_rate:x0.1",
        "exchange_optimizer:adam",
    ),
    "pooling": (
        "insert_normalisation",
        "redraw_weights:critical",
        "scale_to_unit_variance",
        "exchange_optimizer:adam",
        "change_learning_rate:range",
        "clip_gradients",
    ),
    "skip": (
        "redraw_weights:critical",
        "insert_normalisation",
        "scale_to_unit_variance",
        "exchange_optimizer:adam",
        "change_learning_rate:range",
        "clip_gradients",
    ),
    "recurrence": (
        "exchange_recurrence:gru",
        "exchange_recurrence:lstm",
        "redraw_recurrent_weights",
        "open_forget_gates",
        "open_forget_gates:3",
        "clip_gradients",
        "change_learning_rate:range",
        "exchange_optimizer:adam",
        "insert_normalisation",
    ),
    "gradient": (
        "exchange_optimizer:adam",
        "clip_gradients",
        "insert_normalisation",
        "redraw_weights:critical",
        "scale_loss",
        "change_learning_rate:range",
    ),
    "clipping": (
        "change_learning_rate:range",
        "change_learning_rate:x10",
        "exchange_optimizer:adam",
        "insert_normalisation",
    ),
    "optimizer": (
        "change_learning_rate:range",
        "exchange_optimizer:momentum",
        "exchange_optimizer:adam",
        "exchange_optimizer:sgd",
        "warm_up_learning_rate",
        "insert_normalisation",
        "clip_gradients",
    ),
    "target_scale": (
        "scale_output_to_targets",
        "change_learning_rate:range",
        "exchange_optimizer:adam",
        "clip_gradients",
    ),
    "batch_size": (
        "change_learning_rate:range",
        "change_learning_rate:x0.1",
        "change_learning_rate:x0.01",
        "exchange_optimizer:adam",
        "clip_gradients",
    ),
    "symmetry": ("break_symmetry", "redraw_weights:critical", "redraw_weights:he", "redraw_weights:glorot"),
    "regularisation": ("reduce_regularisation", "reduce_regularisation:none"),
    "accumulation": ("zero_gradients",),
    "disconnection": (),
    "activation": ("insert_activation:relu+redraw_weights:he", "insert_activation:relu", "exchange_activation:relu"),
    "unknown": (
        "change_learning_rate:range",
        "redraw_weights:critical",
        "insert_normalisation",
        "exchange_optimizer:adam",
        "standardise_input",
        "clip_gradients",
        "exchange_activation:relu+redraw_weights:he",
        "exchange_recurrence:gru",
        "scale_to_unit_variance",
    ),
}
"""Cause to labels of cures, best first; a `+` joins the parts of a pair. None where only its author can correct the
program, and the finding says how."""

SIGNAL_MEASURES = (
    "exchange_activation",
    "redraw_weights",
    "scale_to_unit_variance",
    "insert_normalisation",
    "add_residual_paths",
    "pretrain_layers",
)
"""What sets the size of signals and gradients anew, layer by layer."""

MEMORY_MEASURES = ("exchange_recurrence", "redraw_recurrent_weights", "open_forget_gates")
"""The same along the time steps of a recurrent layer."""

SMALLER_STEPS = (
    "change_learning_rate:range",
    "change_learning_rate:down",
    "clip_gradients",
    "insert_normalisation",
    "exchange_optimizer",
    "warm_up_learning_rate",
    "standardise_input",
    "scale_output_to_targets",
    "exchange_normalisation",
    "redraw_weights",
)
"""What makes steps smaller that are too large."""

MEASURES_AGAINST: dict[str, tuple[str, ...]] = {
    "vanishing": (
        *SIGNAL_MEASURES,
        *MEMORY_MEASURES,
        "exchange_optimizer",
        "change_learning_rate:range",
        "change_learning_rate:up",
        "scale_loss",
        "standardise_input",
        "break_symmetry",
    ),
    "exploding": (
        *SIGNAL_MEASURES,
        "redraw_recurrent_weights",
        "clip_gradients",
        "change_learning_rate:range",
        "change_learning_rate:down",
        "standardise_input",
        "scale_output_to_targets",
    ),
    "saturated": (
        *SIGNAL_MEASURES,
        "standardise_input",
        "change_learning_rate:range",
        "change_learning_rate:down",
        "exchange_optimizer",
    ),
    "dead": (
        *SIGNAL_MEASURES,
        "standardise_input",
        "break_symmetry",
        "change_learning_rate:range",
        "change_learning_rate:down",
        "clip_gradients",
        "exchange_optimizer",
    ),
    "stuck": (
        *SIGNAL_MEASURES,
        *MEMORY_MEASURES,
        "change_learning_rate:range",
        "change_learning_rate:up",
        "exchange_optimizer",
        "keep_weights_in_float32",
        "scale_loss",
        "scale_output_to_targets",
    ),
    "non_finite": (
        "keep_weights_in_float32",
        "fix_loss_pairing",
        "clip_gradients",
        "change_learning_rate:range",
        "change_learning_rate:down",
        "standardise_input",
        "scale_output_to_targets",
        "redraw_weights",
        "redraw_recurrent_weights",
        "insert_normalisation",
        "exchange_optimizer",
        "warm_up_learning_rate",
    ),
    "stalled": (
        *SIGNAL_MEASURES,
        *MEMORY_MEASURES,
        "standardise_input",
        "scale_output_to_targets",
        "break_symmetry",
        "change_learning_rate:range",
        "change_learning_rate:up",
        "change_learning_rate:down",
        "exchange_optimizer",
        "clip_gradients",
        "fix_loss_pairing",
        "reduce_regularisation",
        "zero_gradients",
    ),
    "thrashing": SMALLER_STEPS,
    "diverging": SMALLER_STEPS,
    "oscillating": SMALLER_STEPS,
    "noisy": SMALLER_STEPS,
    "uneven": (*SIGNAL_MEASURES, "exchange_optimizer", "standardise_input"),
    "collapsed": (*SIGNAL_MEASURES, "standardise_input", "change_learning_rate:range"),
    "fading_memory": (
        *MEMORY_MEASURES,
        "exchange_optimizer",
        "insert_normalisation",
        "change_learning_rate:range",
        "change_learning_rate:up",
    ),
    "exploding_memory": (
        *MEMORY_MEASURES,
        "clip_gradients",
        "change_learning_rate:range",
        "change_learning_rate:down",
        "exchange_optimizer",
        "redraw_weights",
    ),
    "disconnected": ("zero_gradients",),
    "accumulating": ("zero_gradients",),
    "mismatched_loss": ("fix_loss_pairing",),
    "over_regularised": ("reduce_regularisation",),
    "symmetric": ("break_symmetry", "redraw_weights"),
    "linear": ("insert_activation", "exchange_activation", "redraw_weights", "insert_normalisation"),
    "unscaled_input": (
        "standardise_input",
        "scale_output_to_targets",
        "insert_normalisation",
        "change_learning_rate:range",
        "change_learning_rate:down",
        "change_learning_rate:up",
        "redraw_weights",
        "exchange_optimizer",
        "clip_gradients",
    ),
    "underflowing": (
        "keep_weights_in_float32",
        "scale_loss",
        "insert_normalisation",
        "redraw_weights",
        "exchange_activation",
        "exchange_optimizer",
    ),
}
"""Condition to the cures that can act on it at all; of the learning rate also in which direction, `range` for any."""


NEEDING_PRELUDES = ("change_learning_rate:range", "pretrain_layers", "standardise_input")
"""What only a short run of the script beforehand makes ready: a rate to be found, cures that go by gathered inputs."""


def needs_prelude(label: str) -> bool:
    """Whether a part of a cure goes by what a short run of the script has to find first.

    Example:
        >>> needs_prelude("clip_gradients+change_learning_rate:range"), needs_prelude("change_learning_rate:x0.1")
        (True, False)
    """
    joined = label.replace(",", "+")
    parts = {part.strip() for part in joined.split("+")}
    return not parts.isdisjoint(NEEDING_PRELUDES) or not cure_names(joined).isdisjoint(NEEDING_PRELUDES)


def cure_names(label: str) -> frozenset[str]:
    """Names of the cures that a label joins, without their settings.

    Example:
        >>> sorted(cure_names("exchange_activation:relu+redraw_weights:he"))
        ['exchange_activation', 'redraw_weights']
    """
    return frozenset(part.strip().partition(":")[0] for part in label.split("+"))


def cures_for(condition: str, cause: str) -> tuple[str, ...]:
    """Labels of the cures that fit a condition with this cause, best first.

    Args:
        condition: A key of `MEASURES_AGAINST`.
        cause: A key of `PRESCRIPTIONS`; what is not in the table counts as `unknown`.

    Returns:
        Labels, each of whose parts can act on the condition.

    Example:
        >>> cures_for("thrashing", "learning_rate")[:2]
        ('change_learning_rate:range', 'change_learning_rate:x0.1')
        >>> "change_learning_rate:x0.1" in cures_for("stuck", "learning_rate")
        False
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
    """A cure's name, for the learning rate with its direction; an absolute rate may be either, as a found one is."""
    name, _, setting = part.partition(":")
    if name != "change_learning_rate":
        return name
    if setting == "range" or setting.startswith("="):
        return f"{name}:range"
    is_raised = setting.startswith("x") and float(setting[1:]) > 1.0
    return f"{name}:{'up' if is_raised else 'down'}"
