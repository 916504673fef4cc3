"""The dashboard: the runs found in a place, each on a page of its own that grows while the training goes on.

`shelf` is the table of runs, read and diagnosed once for all browsers; `application` makes the page. What is said of a
run is written by the same functions as the report, whose HTML `elements` turns into Dash's components; figures are
drawn by `assets/dashboard.js` from the same parts.
"""
