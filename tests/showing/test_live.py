import io
import time

from gradiometer.showing.layer_rows import LayerRow
from gradiometer.showing.live import LiveState, LiveView, drawn, line_of, state_of, worst_rows
from showing.made_run import made_run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def a_state() -> LiveState:
    return state_of(made_run(), elapsed_seconds=12.0, step_limit=500)


def test_shows_progress_loss_and_one_row_per_layer() -> None:
    text = drawn(a_state(), columns=100, lines=60)
    assert "step 300 of 500" in text
    assert "loss 2.29" in text
    assert sum(f"body.{i} " in text for i in range(21)) == 21
    assert text.index("body.20") < text.index("body.0 ")


def test_fits_the_screen_and_says_how_many_layers_are_hidden() -> None:
    text = drawn(a_state(), columns=60, lines=14)
    assert text.count("\n") <= 12
    assert "13 more layers" in text
    assert "body.0 " in text
    assert "body.20" not in text


def test_takes_exploded_and_lost_layers_for_the_worst() -> None:
    rows = [LayerRow("fine", "Linear", level_db=-3.0), LayerRow("up", "Linear", level_db=90.0)]
    rows += [LayerRow("unseen", "Linear"), LayerRow("gone", "Linear", level_db=float("-inf"))]
    assert [row.name for row in worst_rows(rows, 2)] == ["up", "gone"]


def test_shows_a_state_without_anything_measured() -> None:
    assert "loss –" in drawn(LiveState(), columns=80, lines=24)
    assert line_of(LiveState()).startswith("gradiometer: step 0")


def test_writes_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    view = LiveView(a_state, stream=stream)
    view.render_once()
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "worst level -144.2 dB at body.0" in stream.getvalue()


def test_redraws_in_place_on_a_terminal() -> None:
    stream = Terminal()
    view = LiveView(a_state, stream=stream)
    view.render_once()
    first = stream.getvalue()
    view.render_once()
    assert stream.getvalue()[len(first) :].startswith(f"\x1b[{first.count(chr(10))}A\r\x1b[J")


def test_stops_showing_at_a_fault_of_its_own_and_keeps_it_from_the_run() -> None:
    def broken() -> LiveState:
        raise ValueError("no state")

    view = LiveView(broken, stream=io.StringIO())
    view.render_once()
    assert view.fault == "ValueError: no state"


def test_redraws_no_more_often_than_its_share_of_the_time_allows() -> None:
    def dear() -> LiveState:
        begun = time.thread_time()
        while time.thread_time() - begun < 0.02:
            pass
        return LiveState()

    view = LiveView(dear, stream=Terminal(), share=0.01).start()
    time.sleep(1.2)
    view.stop()
    # The first redraw at 0.5 s costs 20 ms, so the next is due 2 s later; the last is drawn on stopping.
    assert 0.04 <= view.rendering_seconds < 0.06


def test_stops_twice_without_harm() -> None:
    stream = io.StringIO()
    view = LiveView(a_state, stream=stream).start()
    view.stop()
    written = stream.getvalue()
    view.stop()
    assert stream.getvalue() == written
