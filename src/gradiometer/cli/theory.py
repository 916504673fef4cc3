"""`gradiometer theory`: what mean-field theory says of a network before it is trained."""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json


def theory(
    activation: Annotated[
        str, typer.Argument(help="A known activation, or module:function, or file.py:function.", show_default=False)
    ],
    sigma_w: Annotated[
        float | None, typer.Option(help="Weights' scale √(variance·fan_in); critical if left out.")
    ] = None,
    sigma_b: Annotated[float | None, typer.Option(help="Biases' scale: their standard deviation.")] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="Layers, or steps of a recurrent network.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Units of a hidden layer.")] = None,
    dropout: Annotated[float, typer.Option(help="Share of units that dropout silences.")] = 0.0,
    recurrent: Annotated[bool, typer.Option("--recurrent", help="Depth is time.")] = False,
    orthogonal: Annotated[bool, typer.Option("--orthogonal", help="Weights are orthogonal matrices.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the phase diagram as an HTML page.")] = None,
) -> None:
    """Say what mean-field theory expects of a plain network: how deep it may be, and at which learning rate.

    Without --sigma-w the critical point is taken, where gradients neither vanish nor explode.
    """
    from gradiometer.showing.theory_page import write_theory_page
    from gradiometer.showing.theory_words import print_expectation
    from gradiometer.theory.callables import named_activation
    from gradiometer.theory.expectation import expect, plan_network
    from gradiometer.theory.phase_map import map_around

    shape = {"depth": depth, "width": width, "is_recurrent": recurrent, "is_orthogonal": orthogonal}
    plan = plan_network(named_activation(activation), sigma_w, sigma_b, dropout=dropout, **shape)
    expected = expect(plan)
    page = output and write_theory_page(expected, map_around(plan), output)
    if json:
        write_json(expected)
        return
    print_expectation(expected, results())
    if page:
        results().print(f"\nPhase diagram: {page}", soft_wrap=True)
