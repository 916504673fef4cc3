"""The experiments, a folder each; `experiment.py` in it conducts the whole, the other files are its parts."""
