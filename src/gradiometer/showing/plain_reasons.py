"""What each condition means and why each cure helps, in one plain sentence or clause, for who meets them first."""

CONDITION_LEADS: dict[str, str] = {
    "vanishing": "A layer learns from the gradient that comes back to it from the loss. Here most of it is lost on "
    "the way, so the layers near the input are hardly told what to change.",
    "exploding": "The gradient that comes back from the loss grows from layer to layer, so the steps of the layers "
    "near the input are far too large.",
    "saturated": "Units sit where their activation is flat. A flat function passes on hardly any gradient, so what "
    "lies before it hardly learns.",
    "dead": "Units give zero for every example. They take no part in the answer, and no gradient brings them back.",
    "stuck": "Gradient arrives, but the steps made of it are so small that the weights hardly move.",
    "non_finite": "A number became NaN or infinite, and everything computed from it is lost.",
    "stalled": "The loss does not come down.",
    "thrashing": "Every step changes the weights by a large share of their size, so one step undoes what others "
    "learned.",
    "disconnected": "Some weights can't learn: no gradient reaches them, or no optimizer holds them.",
    "accumulating": "Gradients of earlier steps are still there when new ones are added to them, so every step "
    "follows old batches too.",
    "mismatched_loss": "The network's output and the loss do not fit together, so the gradient is weak or wrong from "
    "its very start.",
    "linear": "An activation has no effect, so the layers around it can do no more than one of them alone.",
    "over_regularised": "Dropout, weight decay or the like is so strong that it drowns what the data says.",
    "unscaled_input": "The numbers that go into the network are not of the size that layers and learning rates are "
    "made for, which is about 1.",
    "symmetric": "Units of a layer have equal weights and get equal gradients, so they stay equal: together they do "
    "no more than one of them.",
    "underflowing": "Gradients are so small that the number format rounds them to zero or takes their digits.",
    "diverging": "The loss grows instead of coming down.",
    "oscillating": "The loss swings up and down instead of coming down.",
    "noisy": "The gradient of one batch says little about that of all the data, so most of each step is chance.",
    "uneven": "Some layers learn many times faster than others, though the gradient reaches all of them.",
    "collapsed": "On their way through the layers different examples become alike, so late layers can't tell them "
    "apart.",
    "fading_memory": "Through the time steps of a recurrent layer the gradient fades, so what lies long ago can't be "
    "learned.",
    "exploding_memory": "Through the time steps of a recurrent layer the gradient grows, so a long sequence throws "
    "the weights about.",
}
"""Condition to what it means."""

CURE_REASONS: dict[str, str] = {
    "exchange_activation": "an activation that is steeper, or never flat, lets more of the gradient through",
    "insert_activation": "with an activation between them two layers can do more than one",
    "redraw_weights": "weights drawn at the right scale keep the gradient's size from layer to layer",
    "redraw_recurrent_weights": "orthogonal recurrent weights keep the gradient's size from time step to time step",
    "scale_to_unit_variance": "every layer then gives numbers of about the same size",
    "break_symmetry": "units that start unequal get unequal gradients",
    "open_forget_gates": "an open forget gate keeps what was seen long ago, and lets its gradient through",
    "pretrain_layers": "each layer first learns to describe its input, and so starts from useful weights",
    "standardise_input": "inputs around 0 and of size 1 are what layers and learning rates are made for",
    "insert_normalisation": "a normalising layer gives its output a fixed size, whatever comes in",
    "exchange_normalisation": "its statistics then no longer hang on a few examples",
    "add_residual_paths": "a path around each layer hands the gradient on as it is",
    "exchange_recurrence": "gates keep what was seen long ago, and let its gradient through",
    "clip_gradients": "no step is then longer than a bound, however large the gradient",
    "zero_gradients": "each step then follows its own batch alone",
    "change_learning_rate": "steps then have a length at which the loss comes down",
    "warm_up_learning_rate": "first steps are short, until the network has settled",
    "exchange_optimizer": "it makes steps of another length from the same gradients",
    "reduce_regularisation": "what the data says is then no longer drowned",
    "keep_weights_in_float32": "small changes of the weights are then no longer rounded away",
    "scale_loss": "small gradients are lifted to where the number format can hold them",
    "fix_loss_pairing": "the loss then takes what the output gives, and its gradient is the error itself",
    "scale_output_to_targets": "the output then starts where the targets are",
}
"""Kind of a cure to why it helps, as a clause."""
