"""The run file: written off the training thread, read anywhere, also while it grows and after `kill -9`.

`writer.RunWriter` writes, `reader.read_run` reads, `provenance.gather_provenance` tells where a run comes from.
"""
