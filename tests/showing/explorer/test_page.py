"""The explorer's page in a real browser, with answers that are computed here or in a process of their own."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from browsing import LOOKS, assert_sound, browser, controls_out_of_reach, visit
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.explorer.answering import answer_question, open_pages
from gradiometer.lab.explorer.process import NetworkProcess, command_of
from gradiometer.lab.explorer.training import digits_of
from gradiometer.schema.explored import Answer, DigitData, Question
from gradiometer.showing.explorer.application import explorer_application
from gradiometer.showing.explorer.questions import Ask
from gradiometer.showing.served_frame import script_hashes
from gradiometer.showing.serving import listening

__all__ = ["browser"]

STEPS = 60


@contextmanager
def served(ask: Ask, data: DigitData) -> Iterator[str]:
    application = explorer_application(ask, data, first_steps=STEPS)
    with listening(application.server, script_hashes=script_hashes(application)) as listener:
        running = threading.Thread(target=listener.run, daemon=True)
        running.start()
        yield listener.url


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page, with answers computed in this process, one after another."""
    torch.set_num_threads(1)
    pages, lock = open_pages(digits_of(load_digits())), threading.Lock()

    def ask(question: Question) -> Answer:
        with lock:
            return answer_question(pages, question)

    with served(ask, pages.digits.data) as url:
        yield url


def settled(page: Any) -> None:
    """Wait until the training is where it was sent, and all that follows from it is shown."""
    page.wait_for_selector("body[data-busy='false']", timeout=120_000)
    page.wait_for_selector("#walk-card h3", timeout=60_000)


def wait_for(page: Any, place: str, words: str) -> None:
    page.locator(place, has_text=words).first.wait_for(timeout=120_000)


def choose(page: Any, group: str, words: str, said: str | None = None) -> None:
    """Choose, and wait until the network is one of that choice; `said` is what the readout calls it."""
    page.locator(f"#{group} label", has=page.get_by_text(words, exact=True)).click()
    wait_for(page, "#readout p", f"Now: {said}" if said else words)
    settled(page)


@pytest.mark.slow
def test_leads_from_a_digit_to_one_weight_and_through_a_step(browser, address: str) -> None:
    with visit(browser, address) as seen:
        page = seen.page
        settled(page)
        assert f"{STEPS} (" in page.inner_text("#readout")
        assert page.locator("#unit-strips-place .cell").count() == 16 + 16 + 10
        page.click("#next-digit")
        wait_for(page, "#picture", "Digit 1 is a 7")
        page.locator("#unit-strips-place [role=listbox]").nth(1).locator(".cell").first.focus()
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "Enter"):
            page.keyboard.press(key)
        wait_for(page, "#unit-card h3", "Hidden 2 unit 1")
        page.locator("#weight-strip-place .cell").nth(5).click()
        wait_for(page, "#weight-card h3", "From hidden 1 unit 5 to hidden 2 unit 1")
        whole, autograd, _ = page.locator("#weight-card tbody td").all_inner_texts()
        assert whole == autograd
        phases = []
        for place in range(6):
            wait_for(page, "#walk-card h3", f"Step {place + 1} of 6")
            phases.append(page.inner_text("#walk-card .now"))
            page.wait_for_selector("#walk-strips-place .cell.lit")
            page.click("#walk-next")
        assert phases == ["Forward pass"] * 3 + ["Error", "Backward pass", "Update"]
        assert seen.said == []
        assert seen.asked_elsewhere == []


@pytest.mark.slow
def test_shows_ten_sigmoid_layers_starve_and_the_network_before_beside_them(browser, address: str) -> None:
    with visit(browser, address) as seen:
        page = seen.page
        settled(page)
        choose(page, "activation", "sigmoid")
        choose(page, "start", "torch's own")
        choose(page, "hidden_layers", "10", "10 × 16 sigmoid, torch's own")
        levels = page.locator("#ladder .rung:not(.head) .number:not(.quiet)").all_inner_texts()
        decibels = [float(level.removesuffix(" dB").replace("−", "-")) for level in levels]
        assert len(decibels) == 11
        assert decibels == sorted(decibels, reverse=True)
        assert decibels[-1] < -150.0
        assert "before the last change" in page.inner_text("#readout")
        assert page.locator("#level-place .legend").count() == 1
        choose(page, "start", "critical")
        last = page.locator("#ladder .rung .number:not(.quiet)").last.inner_text()
        assert float(last.removesuffix(" dB").replace("−", "-")) > -40.0
        assert seen.said == []
        assert seen.asked_elsewhere == []


@pytest.mark.slow
def test_trains_a_step_an_epoch_and_on_until_it_is_paused(browser, address: str) -> None:
    with visit(browser, address) as seen:
        page = seen.page
        settled(page)
        page.click("#walk-back")
        wait_for(page, "#walk-card .now", "Update")
        foretold = page.inner_text("#walk-card .numbers p:nth-child(3)").rpartition("= ")[2]
        page.click("#train-step")
        wait_for(page, "#readout", f"{STEPS + 1} (")
        wait_for(page, "#walk-card", "Step 7 of 7")
        settled(page)
        assert float(foretold.replace("−", "-")) == pytest.approx(value_of(page), rel=1e-4)
        page.click("#train-epoch")
        wait_for(page, "#readout", "76 (2 epochs)")
        page.click("#play")
        wait_for(page, "#play", "Pause")
        page.wait_for_timeout(1500)
        page.click("#play")
        wait_for(page, "#play", "Play")
        settled(page)
        steps = int(page.inner_text("#readout td").partition(" ")[0].replace(",", ""))
        assert steps > 76
        page.click("#reset")
        wait_for(page, "#readout", "0 (0 epochs)")
        assert seen.said == []


def value_of(page: Any) -> float:
    words = page.inner_text("#weight-card p").partition(". Its gradient")[0].removeprefix("The weight is ")
    return float(words.replace("−", "-"))


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_is_open_to_everybody_on_a_desk_and_on_a_phone(browser, address: str, width: int, scheme: str) -> None:
    with visit(browser, address, width=width, scheme=scheme) as seen:
        settled(seen.page)
        assert_sound(seen)
        # Of a group of choices Tab comes to the chosen one, and arrow keys to the others.
        missed = [control for control in controls_out_of_reach(seen.page) if 'type="radio"' not in control]
        assert missed == []
        seen.page.locator("#activation input:checked").focus()
        seen.page.keyboard.press("ArrowRight")
        wait_for(seen.page, "#readout p", "leaky ReLU")


@pytest.mark.slow
def test_picks_a_weight_of_the_most_sensitive_and_a_unit_of_the_outputs(browser, address: str) -> None:
    with visit(browser, address) as seen:
        page = seen.page
        settled(page)
        page.locator("#outputs .pick").nth(4).click()
        wait_for(page, "#unit-card h3", "Output 4")
        weight = page.locator("#sensitive .pick", has_text="→").first
        words = weight.inner_text()
        weight.click()
        source, _, unit = words.partition(" → ")
        wait_for(page, "#weight-card h3", f"From {source} to {unit}")
        page.click("#next-mistake")
        wait_for(page, "#picture", "and the network says ")
        assert "and the network says so" not in page.inner_text("#picture")


@pytest.mark.slow
def test_begins_anew_where_the_process_behind_it_is_killed(browser) -> None:
    with NetworkProcess(command_of(None)) as network:
        assert network.data is not None
        with served(network.ask, network.data) as url, visit(browser, url) as seen:
            page = seen.page
            settled(page)
            assert network.pid is not None
            os.kill(network.pid, signal.SIGKILL)
            page.click("#next-digit")
            wait_for(page, "#notice", "A new one was started")
            wait_for(page, "#picture", "Digit 1 is a 7")
            settled(page)
            page.locator("#digit-class label", has_text="1").click()
            wait_for(page, "#picture", "is a 1")
            assert f"{STEPS} (" in page.inner_text("#readout")
            assert seen.said == []
