-- From version 3 to 4: whether an example pulls with its batch or against it.

ALTER TABLE example_statistics ADD COLUMN cosines_json TEXT;
