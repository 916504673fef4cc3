-- From version 2 to 3: the loss and its targets, what training is told to do, units that compute nothing of their own.

ALTER TABLE layer ADD COLUMN dropped_share REAL;
ALTER TABLE parameter ADD COLUMN optimizer TEXT;
ALTER TABLE snapshot ADD COLUMN input_spread_db REAL;
ALTER TABLE snapshot ADD COLUMN stale_gradient_norm REAL;
ALTER TABLE snapshot ADD COLUMN target_mean REAL;
ALTER TABLE snapshot ADD COLUMN target_rms REAL;
ALTER TABLE snapshot ADD COLUMN target_greatest REAL;
ALTER TABLE snapshot ADD COLUMN constant_loss REAL;
ALTER TABLE snapshot ADD COLUMN batch_accuracy REAL;
ALTER TABLE layer_statistics ADD COLUMN linear_share REAL;
ALTER TABLE parameter_statistics ADD COLUMN weight_decay REAL;
ALTER TABLE parameter_statistics ADD COLUMN twin_share REAL;
