"""Answers questions: each page has a network of its own, and the course of the one before its last change."""

from collections import OrderedDict
from dataclasses import dataclass

from gradiometer.errors import SettingsError
from gradiometer.lab.explorer.scenes import scene_of
from gradiometer.lab.explorer.training import Digits, Training, begin, course_of, train_towards
from gradiometer.lab.explorer.units import unit_of
from gradiometer.lab.explorer.weights import weight_of
from gradiometer.schema.explored import Answer, Course, Question

MOST_PAGES = 12
"""Networks that are kept at once; the page that was not asked for longest begins anew when it is asked again."""


@dataclass(slots=True)
class Page:
    """What is kept for one page.

    Attributes:
        training: Its network.
        earlier: How the training with other settings went; None before the first change.
    """

    training: Training
    earlier: Course | None = None


@dataclass(slots=True)
class Pages:
    """All pages, those asked last at the end.

    Attributes:
        digits: What all networks are trained on.
        kept: Pages by their keys.
    """

    digits: Digits
    kept: OrderedDict[str, Page]


def open_pages(digits: Digits) -> Pages:
    """Begin without any page."""
    return Pages(digits, OrderedDict())


def answer_question(pages: Pages, question: Question) -> Answer:
    """Answer one question, after training the page's network towards the step that it names.

    Args:
        pages: All pages; the one that is asked is changed in place.
        question: The question.

    Raises:
        SettingsError: It asks for something that there is not; the message says what.
    """
    check_question(question, pages.digits)
    page = page_for(pages, question)
    train_towards(page.training, question.step)
    if question.kind == "scene":
        return scene_of(page.training, question.example, page.earlier)
    if question.kind == "unit":
        return unit_of(page.training, question.layer, question.unit, question.example)
    return weight_of(page.training, question.layer, question.unit, question.source, question.example)


def page_for(pages: Pages, question: Question) -> Page:
    """The page that asks, with a network of the settings that it names, not further on than it says."""
    page = pages.kept.pop(question.page, None)
    if page is None:
        page = Page(begin(question.settings, pages.digits))
    elif page.training.network.settings != question.settings:
        page = Page(begin(question.settings, pages.digits), course_of(page.training))
    elif page.training.step > question.step:
        page = Page(begin(question.settings, pages.digits), page.earlier)
    pages.kept[question.page] = page
    if len(pages.kept) > MOST_PAGES:
        pages.kept.popitem(last=False)
    return page


def check_question(question: Question, digits: Digits) -> None:
    """Make sure that what is asked for is there.

    Raises:
        SettingsError: It is not.
    """
    settings = question.settings
    settings.check()
    output = settings.hidden_layers + 1
    units = len(set(digits.data.labels)) if question.layer == output else settings.units
    below = digits.inputs.shape[1] if question.layer == 1 else settings.units
    asked: dict[str, tuple[int, int]] = {
        "example": (question.example, len(digits.data.labels)),
        "layer": (question.layer - 1, output),
        "unit": (question.unit, units),
        "source": (question.source or 0, below),
    }
    for name, (value, count) in asked.items():
        if not 0 <= value < count:
            raise SettingsError(f"There is no such {name}: this network has {count}.")
    if question.step < 0:
        raise SettingsError("A network can't be trained for fewer than 0 steps.")
