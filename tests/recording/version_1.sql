-- The run file, version 1. Nothing in it is code: numbers, plain text, and JSON where a value has parts.
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
    parameters_json TEXT NOT NULL          -- names of its parameters
);

CREATE TABLE parameter (
    parameter_id INTEGER PRIMARY KEY,      -- order in which parameters became known
    name TEXT NOT NULL UNIQUE,             -- path in the model
    layer TEXT,                            -- name of the layer that owns it
    shape_json TEXT NOT NULL,              -- elements along each axis
    dtype TEXT NOT NULL,                   -- number format
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
    PRIMARY KEY (step, parameter_id)
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
