"""Where people already work: one partner to a file, a thin adapter to `session` or to the reader of run files.

Nothing is imported here, and each partner only in the file that is named after it.
"""
