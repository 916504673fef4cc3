"""Mean-field theory of signals in wide random networks; numpy only.

What it answers before any training: how the size of the signal goes from layer to layer (`length_map`), whether two
inputs stay apart (`correlation_map`), which scale of weights and biases keeps both (`critical_scale`), what each layer
should do to the gradient (`gain`), how evenly it treats directions (`isometry`), what of this holds through time
(`recurrence`), how deep a network may be (`depth_limits`) and which learning rate it bears (`learning_rate`); all of it
for one network in `expectation`, and over all scales in `phase_map`. It rests on Gaussian expectations of an activation
(`moments`), of any Python function, whose kinks and slope are found (`smooth_pieces`).

Notation, as in the papers: weights are drawn from N(0, sigma_w² / fan_in), biases from N(0, sigma_b²), q is the
variance of a pre-activation, c the correlation of two, chi_1 the factor on the squared gradient per layer.

Source:
    Poole et al., "Exponential expressivity in deep neural networks through transient chaos", NeurIPS 2016;
    Schoenholz et al., "Deep information propagation", ICLR 2017.
"""
