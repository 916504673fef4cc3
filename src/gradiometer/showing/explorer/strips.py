"""Numbers for `assets/strips.js`, which draws units and weights as rows of cells."""

from typing import Any

from gradiometer.schema.explored import LayerScene, Scene, UnitScene
from gradiometer.showing.explorer.words import layer_name, level_in_words, unit_name


def shortened(value: float) -> float:
    """Four significant digits: enough for a colour and a label.

    Example:
        >>> shortened(0.123456)
        0.1235
    """
    return float(f"{value:.4g}")


def unit_strips(scene: Scene) -> dict[str, Any]:
    """Every layer's units: activation, and wanted change of it."""
    depth = len(scene.layers)
    layers = [
        {
            "layer": layer.number,
            "title": layer_name(layer.number, depth),
            "note": note_of(layer, depth),
            "cells": [
                [shortened(activation), shortened(wanted)]
                for activation, wanted in zip(layer.activations, layer.wanted, strict=True)
            ],
        }
        for layer in scene.layers
    ]
    return {"layers": layers}


def note_of(layer: LayerScene, depth: int) -> str:
    """What stands beside a layer's name: its units, and how much of the error arrives there."""
    if layer.number == depth:
        return "what the network says, digit by digit"
    return f"{len(layer.activations)} units · error {level_in_words(layer.level_db)} than at the output"


def weight_strip(unit: UnitScene, depth: int, side: int) -> dict[str, Any]:
    """The weights that lead into a unit: each with its wanted change; those of the first layer as a picture."""
    return {
        "layer": unit.layer,
        "unit": unit.unit,
        "columns": side if unit.layer == 1 else 0,
        "title": f"Weights into {unit_name(unit.layer, unit.unit, depth, side)}",
        "cells": [
            [shortened(weight), shortened(wanted)]
            for weight, wanted in zip(unit.weights, unit.wanted_weights, strict=True)
        ],
        "names": [unit_name(unit.layer - 1, source, depth, side) for source in range(len(unit.weights))],
    }
