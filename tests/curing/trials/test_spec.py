from dataclasses import fields, replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gradiometer.curing.trials.spec import TrialSpec, digest_of, spec_from_json

WORDS = st.text(max_size=8)
SPECS = st.builds(
    TrialSpec,
    script=st.none() | WORDS,
    module=st.none() | WORDS,
    arguments=st.lists(WORDS, max_size=3).map(tuple),
    working_directory=WORDS,
    folder=WORDS,
    cures=st.lists(WORDS, max_size=2).map(tuple),
    seed=st.integers(),
    sieve=st.sampled_from(["diagnose", "remeasure", "race", "trial"]),
    step_limit=st.none() | st.integers(1, 10**6),
    seconds_limit=st.none() | st.floats(0.1, 1e4),
    patience_seconds=st.floats(1.0, 1e4),
    overhead=st.floats(0.001, 1.0),
    threads=st.integers(1, 64),
    case_file=st.none() | WORDS,
    conditions=st.lists(WORDS, max_size=2).map(tuple),
    range_test=st.booleans(),
    holds_still=st.booleans(),
    gathers=st.booleans(),
)

UNDECIDING = {"script", "module", "arguments", "working_directory", "folder", "sieve", "patience_seconds", "case_file"}
"""What does not change a trial's numbers, or is the same in all trials of a case."""


@given(SPECS)
def test_travels_as_json(spec: TrialSpec) -> None:
    assert spec_from_json(spec.to_json()) == spec


@given(SPECS, SPECS)
def test_finds_a_result_again_only_where_all_that_decides_is_the_same(first: TrialSpec, second: TrialSpec) -> None:
    deciding = [field.name for field in fields(TrialSpec) if field.name not in UNDECIDING]
    is_same = all(getattr(first, name) == getattr(second, name) for name in deciding)
    assert (first.digest == second.digest) == is_same
    assert replace(first, **{name: getattr(second, name) for name in deciding}).digest == second.digest


@given(SPECS, WORDS, WORDS)
def test_tells_a_trial_with_gathered_inputs_from_one_without(spec: TrialSpec, file: str, moved: str) -> None:
    with_inputs = replace(spec, samples_file=file)
    assert with_inputs.digest != spec.digest
    assert replace(spec, samples_file=moved).digest == with_inputs.digest


@given(SPECS)
def test_gives_every_trial_a_folder_of_its_own_in_the_case(spec: TrialSpec) -> None:
    placed = spec.placed_in(Path("/cases/train"))
    assert Path(placed.folder).parent == Path("/cases/train")
    assert placed.digest == spec.digest
    assert placed.digest in Path(placed.folder).name


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_digests_contents_and_not_their_sum(first: list[bytes], second: list[bytes]) -> None:
    assert (digest_of(*first) == digest_of(*second)) == (first == second)
