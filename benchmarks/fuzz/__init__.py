"""Hostile input: made-up run files, words, requests, settings and scripts, and what may not happen when they are read.

An input counts as survived where gradiometer answers it or refuses it by a sentence and exit code 2, within bounds of
time and memory, starts nothing, opens no connection, and writes nothing outside the folder that it was given.
"""
