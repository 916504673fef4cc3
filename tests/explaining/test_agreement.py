"""Which examples pulled hardest and which against their batch, from a run's numbers and from a real run."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gradiometer
from gradiometer.explaining.agreement import describe_examples
from gradiometer.schema import ExampleStats, Run

NORMS = st.lists(st.none() | st.floats(0.0, 1e30), max_size=5).map(tuple)


def stats(norms: tuple[float | None, ...], **more: object) -> ExampleStats:
    return ExampleStats(norms, tuple(range(len(norms))), example_count=len(norms), **more)


def test_says_that_nothing_was_measured():
    story = describe_examples(Run())
    assert (story.step_count, story.hardest, story.against) == (0, (), ())
    assert story.sentences == ("No step of this run measured single examples.",)


def test_joins_sightings_of_one_example_relative_to_their_step():
    run = Run(
        examples={
            1: stats((1.0, 8.0, 1.0), data_indices=(7, 3, 9), cosines=(0.5, -0.6, 0.2)),
            5: stats((0.02, 0.01, 0.01), data_indices=(3, 2, 1), cosines=(-0.2, 0.1, None)),
        }
    )
    story = describe_examples(run)
    assert (story.step_count, story.example_count) == (2, 5)
    first = story.hardest[0]
    assert (first.data_index, len(first.sightings)) == (3, 2)
    assert first.times_median == pytest.approx(math.sqrt(8.0 * 2.0))
    assert first.cosine == pytest.approx(-0.4)
    assert [one.data_index for one in story.against] == [3]
    assert story.sentences == (
        "5 examples were told apart by their gradients, in 2 steps.",
        "Example 3 of the data set pulled hardest, 4 times as hard at the weights as the median of its batch, "
        "over 2 sightings.",
        "Example 3 of the data set pulled most against its batch (cosine -0.40): look first at the labels of such "
        "examples.",
    )


def test_names_examples_by_their_place_where_the_loader_is_silent():
    story = describe_examples(Run(examples={4: stats((1.0, 3.0, 1.0), cosines=(0.1, 0.1, 0.1))}))
    assert story.hardest[0].name == "the example at place 1 of step 4"
    assert story.sentences[-1] == "None pulled against its batch (cosine below -0.1)."


def test_puts_an_example_that_is_not_finite_first_and_says_what_is_missing():
    story = describe_examples(Run(examples={4: stats((1.0, None, 30.0))}))
    assert story.hardest[0].times_median == math.inf
    assert "with a gradient that is not finite" in story.sentences[1]
    assert story.sentences[-1] == "Whether they pulled with their batch or against it was not measured."


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.integers(0, 9),
        NORMS.flatmap(
            lambda norms: st.builds(
                ExampleStats,
                norms=st.just(norms),
                positions=st.just(tuple(range(len(norms)))),
                data_indices=st.none() | st.tuples(*[st.none() | st.integers(0, 3)] * len(norms)),
                cosines=st.none() | st.tuples(*[st.none() | st.floats(-1.0, 1.0)] * len(norms)),
            )
        ),
        max_size=3,
    )
)
def test_describes_any_run(examples: dict[int, ExampleStats]):
    story = describe_examples(Run(examples=examples), most=3)
    assert len(story.hardest) == min(3, story.example_count)
    assert all(one.cosine < -0.1 for one in story.against)
    assert story.sentences


def test_finds_the_wrong_label_of_a_real_run(tmp_path):
    x = torch.randn(32, 6)
    x[:, 0] += x[:, 0].sign()
    y = (x[:, 0] > 0).long()
    y[5] = 1 - y[5]
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 16, shuffle=True)
    with gradiometer.watch(model, optimizer, tmp_path / "run.db", overhead=1.0, dear=["per_example"]):
        for _ in range(30):
            for inputs, target in loader:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(inputs), target).backward()
                optimizer.step()
    story = describe_examples(gradiometer.open(tmp_path / "run.db"))
    assert story.hardest[0].data_index == 5
    assert story.against[0].data_index == 5
    assert story.against[0].cosine < -0.3
