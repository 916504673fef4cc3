-- The run file, version 3. Nothing in it is code: numbers, plain text, and JSON where a value has parts.
-- NULL in a column of numbers means "not measured". SQLite turns a NaN into NULL, so what was not finite is counted in
-- columns of its own. Levels and gains are in dB; "rms", "norm" and "loss" have the unit of the tensor they come from;
-- a "share" lies between 0 and 1; "step" is the index of an optimizer step, from 0.

CREATE TABLE fact (
    name TEXT PRIMARY KEY,                 -- what is known of the run as a whole: script, status, seed, versions
    value_json TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE layer (
    layer_id INTEGER PRIMARY KEY,          -- order in which layers became known
    name TEXT NOT NULL UNIQUE,             -- path in the model
    kind TEXT NOT NULL,                    -- class of the module, or name of the function
    role TEXT NOT NULL,                    -- leaf, block, function
    position INTEGER NOT NULL,             -- rank in the order of first execution, 0 nearest the input
    call_site TEXT,                        -- file:line
    activation TEXT,                       -- name of the activation, NULL where it is none
    greatest_slope REAL,                   -- greatest absolute slope of the activation, a ratio
    unit_count INTEGER,
    fan_in INTEGER,                        -- count of inputs
    fan_out INTEGER,                       -- count of outputs
    dropped_share REAL,                    -- probability with which it drops values in training
    parameters_json TEXT NOT NULL          -- names of its parameters
);

CREATE TABLE parameter (
    parameter_id INTEGER PRIMARY KEY,      -- order in which parameters became known
    name TEXT NOT NULL UNIQUE,             -- path in the model
    layer TEXT,                            -- name of the layer that owns it
    shape_json TEXT NOT NULL,              -- elements along each axis
    dtype TEXT NOT NULL,                   -- number format
    optimizer TEXT,                        -- class of the optimizer that holds it
    is_trainable INTEGER NOT NULL,         -- 0 or 1
    is_optimized INTEGER NOT NULL          -- 0 or 1
);

CREATE TABLE snapshot (
    step INTEGER PRIMARY KEY,
    output_gradient_norm REAL,             -- norm of the loss gradient at the network's output
    loss REAL,
    input_mean REAL,                       -- unit of the input
    input_rms REAL,                        -- unit of the input
    input_greatest REAL,                   -- greatest absolute value, unit of the input
    input_spread_db REAL,                  -- greatest feature over the median one
    stale_gradient_norm REAL,              -- of gradients left from earlier steps
    target_mean REAL,                      -- unit of the loss' targets
    target_rms REAL,                       -- unit of the targets
    target_greatest REAL,                  -- greatest absolute value, unit of the targets
    constant_loss REAL,                    -- of the best constant guess over all targets so far
    batch_accuracy REAL,                   -- a share
    measuring_seconds REAL
);

CREATE TABLE layer_statistics (
    step INTEGER NOT NULL,
    layer_id INTEGER NOT NULL,
    trunk_position INTEGER,                -- rank counted from the network's output, 0 there
    output_rms REAL,
    output_gradient_norm REAL,
    input_gradient_norm REAL,
    level_db REAL,
    gain_db REAL,
    saturated_share REAL,
    dead_share REAL,
    window_examples INTEGER,               -- count of examples that the two shares were judged on
    output_nonfinite_count INTEGER,        -- elements
    gradient_nonfinite_count INTEGER,      -- elements
    output_similarity REAL,                -- mean cosine between the outputs of two examples, -1 to 1
    output_rank REAL,                      -- effective rank of the batch's outputs, 1 to its examples
    gradient_similarity REAL,              -- mean cosine between the gradients at its output of two examples, -1 to 1
    gradient_rank REAL,                    -- effective rank of these gradients
    similarity_example_count INTEGER,      -- examples that the four are from
    linear_share REAL,                     -- of the units, on one straight piece on every example of the window
    PRIMARY KEY (step, layer_id)
) WITHOUT ROWID;

CREATE TABLE parameter_statistics (
    step INTEGER NOT NULL,
    parameter_id INTEGER NOT NULL,
    gradient_rms REAL,                     -- before clipping
    clipped_gradient_rms REAL,             -- as the optimizer saw it
    weight_rms REAL,
    update_ratio REAL,                     -- norm of the update over norm of the weights, a ratio
    update_rms REAL,
    learning_rate REAL,                    -- a ratio
    gradient_zero_share REAL,
    gradient_nonfinite_count INTEGER,      -- elements
    weight_nonfinite_count INTEGER,        -- elements
    gradient_greatest REAL,                -- greatest absolute value, before clipping
    gradient_subnormal_share REAL,         -- below the format's smallest normal number, zeros apart
    weight_decay REAL,                     -- a ratio
    twin_share REAL,                       -- of the units, with the same weights as another
    PRIMARY KEY (step, parameter_id)
) WITHOUT ROWID;

CREATE TABLE turn (                        -- the dear measurement that had its turn in a full step
    step INTEGER PRIMARY KEY,
    measurement TEXT NOT NULL,             -- similarity, per_example, through_time, histograms, units
    seconds REAL,                          -- that it took
    not_measured_json TEXT NOT NULL        -- pairs of what was left out and the reason
);

CREATE TABLE example_statistics (          -- gradient norms of the examples of a step
    step INTEGER PRIMARY KEY,
    example_count INTEGER NOT NULL,        -- of the step, measured or not
    measured_share REAL,                   -- of the trainable elements
    gradient_squared REAL,                 -- squared norm of the true gradient, an unbiased estimate
    trace REAL,                            -- of the covariance of the examples' gradients, likewise
    nonfinite_count INTEGER NOT NULL,      -- examples
    norms_json TEXT NOT NULL,              -- one per example measured, null where not finite
    positions_json TEXT NOT NULL,          -- rank of each in the step
    data_indices_json TEXT                 -- index of each in the data set, NULL where the loader does not tell
);

CREATE TABLE through_time (                -- loss gradient along the time steps of a recurrent layer
    step INTEGER NOT NULL,
    layer_id INTEGER NOT NULL,
    inner_layer INTEGER NOT NULL,          -- rank, 0 nearest the input
    is_reverse INTEGER NOT NULL,           -- 0 or 1
    state TEXT NOT NULL,                   -- hidden, cell
    step_count INTEGER NOT NULL,           -- time steps
    stride INTEGER NOT NULL,               -- time steps from one norm to the next
    half_life_steps REAL,                  -- time steps; negative where the gradient grows
    nonfinite_count INTEGER NOT NULL,      -- time steps
    example_count INTEGER,                 -- sequences that were replayed
    norms_json TEXT NOT NULL,              -- by time step, null where not finite
    gains_json TEXT NOT NULL,              -- by steps back from the last one, ratios
    PRIMARY KEY (step, layer_id, inner_layer, is_reverse, state)
) WITHOUT ROWID;

CREATE TABLE histogram (                   -- absolute values by powers of two
    step INTEGER NOT NULL,
    parameter_id INTEGER NOT NULL,
    quantity TEXT NOT NULL,                -- gradient, weight, update
    first_exponent INTEGER NOT NULL,       -- lower edge of the first bin as a power of two
    counts_json TEXT NOT NULL,             -- elements by bin, each twice as far up as the one before
    zero_count INTEGER NOT NULL,           -- elements, as all counts here
    nonfinite_count INTEGER NOT NULL,
    subnormal_count INTEGER NOT NULL,      -- below the format's smallest normal number, zeros apart
    sample_size INTEGER NOT NULL,          -- read
    element_count INTEGER NOT NULL,        -- that there are
    PRIMARY KEY (step, parameter_id, quantity)
) WITHOUT ROWID;

CREATE TABLE unit_marks (                  -- which units of a layer are saturated or dead
    step INTEGER NOT NULL,
    layer_id INTEGER NOT NULL,
    unit_count INTEGER NOT NULL,
    window_examples INTEGER NOT NULL,      -- count of examples that they were judged on
    saturated_count INTEGER,               -- units
    dead_count INTEGER,                    -- units
    saturated_json TEXT NOT NULL,          -- ranks of the units, the first ones where there are very many
    dead_json TEXT NOT NULL,
    PRIMARY KEY (step, layer_id)
) WITHOUT ROWID;

CREATE TABLE step (
    step INTEGER PRIMARY KEY,
    learning_rate REAL,                    -- a ratio
    total_norm REAL,                       -- of all gradients, before clipping
    clipped_total_norm REAL,               -- of all gradients, as the optimizer saw them
    step_seconds REAL,                     -- measuring included
    measuring_seconds REAL,
    is_skipped INTEGER NOT NULL,           -- 0 or 1
    batch_fingerprint TEXT                 -- digest of the batch
);

CREATE TABLE loss_site (
    site_id INTEGER PRIMARY KEY,           -- order of first use
    site TEXT NOT NULL UNIQUE              -- file:line of the call of backward
);

CREATE TABLE loss (
    step INTEGER NOT NULL,
    site_id INTEGER NOT NULL,
    mean_loss REAL,                        -- over the finite calls, NULL where there was none
    call_count INTEGER NOT NULL,
    nonfinite_count INTEGER NOT NULL,      -- calls
    PRIMARY KEY (step, site_id)
) WITHOUT ROWID;

CREATE TABLE event (
    event_id INTEGER PRIMARY KEY,          -- order in which they happened
    step INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
);

CREATE TABLE coverage (
    coverage_id INTEGER PRIMARY KEY,       -- always 1
    seen_count INTEGER NOT NULL,           -- layers
    total_count INTEGER NOT NULL,          -- layers
    unseen_json TEXT NOT NULL,             -- pairs of layer and reason
    notes_json TEXT NOT NULL
);

CREATE TABLE trial (
    trial_id INTEGER PRIMARY KEY,          -- order in which they were added
    cures_json TEXT NOT NULL,              -- labels, empty for the control
    seed INTEGER NOT NULL,
    sieve TEXT NOT NULL,                   -- remeasure, race, trial
    run_file TEXT NOT NULL,                -- path
    status TEXT NOT NULL,                  -- done, failed, refused, stopped
    final_loss REAL,
    step_count INTEGER NOT NULL,
    elapsed_seconds REAL,
    is_paired INTEGER,                     -- 0, 1, NULL where unknown
    detail TEXT NOT NULL,
    UNIQUE (cures_json, seed, sieve, run_file)
);

CREATE TABLE outcome (
    outcome_id INTEGER PRIMARY KEY,        -- always 1
    outcome_json TEXT NOT NULL             -- the fields of gradiometer.schema.Outcome
);
