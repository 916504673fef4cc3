-- From version 1 to 2: what the dear measurements say.

ALTER TABLE layer_statistics ADD COLUMN output_similarity REAL;
ALTER TABLE layer_statistics ADD COLUMN output_rank REAL;
ALTER TABLE layer_statistics ADD COLUMN gradient_similarity REAL;
ALTER TABLE layer_statistics ADD COLUMN gradient_rank REAL;
ALTER TABLE layer_statistics ADD COLUMN similarity_example_count INTEGER;
ALTER TABLE parameter_statistics ADD COLUMN gradient_greatest REAL;
ALTER TABLE parameter_statistics ADD COLUMN gradient_subnormal_share REAL;

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
