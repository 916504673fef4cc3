"""The explorer's process: questions come in on stdin as JSON lines, answers go out likewise, until stdin ends.

So it ends with whoever started it, also when that is killed. Nothing but numbers and words is read, and what a library
prints goes to stderr.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import torch

from gradiometer.errors import GradiometerError
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.datasets.mnist import load_mnist
from gradiometer.lab.explorer.answering import answer_question, open_pages
from gradiometer.lab.explorer.training import Digits, digits_of
from gradiometer.schema.explored import Question
from gradiometer.schema.retyping import settle


def main() -> None:
    """Load the data, say what they are, and answer until nobody asks any more."""
    parser = argparse.ArgumentParser(prog="python -m gradiometer.lab.explorer")
    parser.add_argument("--data", type=Path, default=None, help="file or folder with MNIST instead of bundled digits")
    path = parser.parse_args().data
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        # Layers this small gain nothing from more threads, and the page's server has its own work.
        torch.set_num_threads(1)
        try:
            digits = digits_of(load_digits() if path is None else load_mnist(path))
        except GradiometerError as fault:
            write_line(answers, {"fault": str(fault)})
            return
        write_line(answers, {"answer": asdict(digits.data)})
        answer_all(digits, sys.stdin, answers)


def answer_all(digits: Digits, questions: Iterable[str], answers: TextIO) -> None:
    """Answer line by line; what can't be answered is answered with the reason."""
    pages = open_pages(digits)
    for line in questions:
        try:
            answer = answer_question(pages, settle(Question, json.loads(line)))
        except GradiometerError as fault:
            write_line(answers, {"fault": str(fault)})
        else:
            write_line(answers, {"answer": asdict(answer)})


def write_line(answers: TextIO, words: dict[str, object]) -> None:
    """Write one answer."""
    answers.write(json.dumps(words) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
