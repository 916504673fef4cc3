"""`gradiometer theory`: what mean-field theory says of a network before it is trained.

Examples:
    gradiometer theory tanh
        The critical scale of tanh's weights: where gradients neither vanish nor explode.
    gradiometer theory tanh --sigma-w 1.3 --sigma-b 0.22 --depth 50 --width 128
        How deep a network with these scales may be, and at which learning rate.
    gradiometer theory gelu --recurrent --orthogonal --output diagram.html
        The same through time; the phase diagram goes to a page.
    gradiometer theory numpy:arctan --json
        An activation of your own: module:function, or file.py:function.

Exit codes:
    0    It is said.
    2    There is no such activation, or a number is out of its range; stderr says which.

Environment:
    NO_COLOR, COLUMNS  No colour; width of the terminal.
"""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.completing import complete_activation
from gradiometer.cli.console import results, write_json
from gradiometer.cli.reading import Json
from gradiometer.cli.topics import NETWORK, OUTPUT


def theory(
    activation: Annotated[
        str,
        typer.Argument(
            metavar="ACTIVATION",
            help="A known activation, or module:function, or file.py:function.",
            show_default=False,
            autocompletion=complete_activation,
        ),
    ],
    sigma_w: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Weights' scale √(variance·fan_in); critical if left out.", rich_help_panel=NETWORK
        ),
    ] = None,
    sigma_b: Annotated[
        float | None,
        typer.Option(metavar="X", help="Biases' scale: their standard deviation.", rich_help_panel=NETWORK),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Layers, or steps of a recurrent network.", rich_help_panel=NETWORK),
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Units of a hidden layer.", rich_help_panel=NETWORK)
    ] = None,
    dropout: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of units that dropout silences.", rich_help_panel=NETWORK)
    ] = 0.0,
    recurrent: Annotated[bool, typer.Option("--recurrent", help="Depth is time.", rich_help_panel=NETWORK)] = False,
    orthogonal: Annotated[
        bool, typer.Option("--orthogonal", help="Weights are orthogonal matrices.", rich_help_panel=NETWORK)
    ] = False,
    json: Json = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the phase diagram as an HTML page.", rich_help_panel=OUTPUT),
    ] = None,
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
