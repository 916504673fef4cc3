"""Made runs for the tests of the run file."""

from gradiometer.schema import Layer, LayerStats, Parameter, ParameterStats, Snapshot, StepStats


def make_layers(count: int) -> list[Layer]:
    return [
        Layer(name=f"body.{index}", kind="Linear", role="leaf", position=index, unit_count=8, fan_in=4, fan_out=8)
        for index in range(count)
    ]


def make_parameters(count: int) -> list[Parameter]:
    return [
        Parameter(name=f"body.{index}.weight", layer=f"body.{index}", shape=(8, 4), dtype="float32")
        for index in range(count)
    ]


def make_snapshot(step: int, layer_count: int) -> Snapshot:
    return Snapshot(
        step=step,
        loss=1.0 / (1 + step),
        layers=tuple(
            LayerStats(
                layer=f"body.{index}",
                trunk_position=layer_count - index - 1,
                output_rms=0.5 + index,
                output_gradient_norm=1e-3 * (index + 1),
                input_gradient_norm=2e-3,
                level_db=-12.0 * index,
                gain_db=step + index / 1000,
            )
            for index in range(layer_count)
        ),
        parameters=tuple(
            ParameterStats(parameter=f"body.{index}.weight", gradient_rms=1e-4, weight_rms=0.1, update_ratio=1e-3)
            for index in range(layer_count)
        ),
    )


def make_step(step: int) -> StepStats:
    return StepStats(
        step=step,
        losses=(("train.py:31", 1.0 / (1 + step), 1, 0),),
        learning_rate=0.1,
        total_norm=2.0,
        step_seconds=1e-3,
        measuring_seconds=1e-6,
    )
