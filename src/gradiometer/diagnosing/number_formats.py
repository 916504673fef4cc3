"""Number formats of half size: what they can't hold, and the optimizers that suffer for it."""

SMALLEST_NORMAL: dict[str, float] = {"float16": 2.0**-14, "bfloat16": 2.0**-126}
"""Number formats of half size to the smallest number that they hold with all their digits."""

SMALLEST_NUMBER: dict[str, float] = {"float16": 2.0**-24, "bfloat16": 2.0**-133}
"""Number formats of half size to the smallest number above zero that they hold, with a single digit."""

HALF_STEP: dict[str, float] = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Number formats of half size to the greatest relative step, about, that is rounded away beside a number."""

ADAPTIVE: frozenset[str] = frozenset({"Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adagrad"})
"""Optimizers that divide by the root of the mean of squared gradients."""
