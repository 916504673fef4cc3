"""The report's summary as HTML: the answers, and links to the sections that hold their numbers. All text is escaped."""

import html
from pathlib import Path

from gradiometer.schema import Diagnosis, Run
from gradiometer.showing.page_terms import terms_block
from gradiometer.showing.summary_words import Answer, answers_of

CODE_LINK = '<p>Or write the change into the script: <a href="#code">the change as code</a>.</p>'


def summary_block(run: Run, diagnosis: Diagnosis, run_file: Path | None) -> str:
    """The answers as a list, and the words that they use."""
    answers = answers_of(run, diagnosis, run_file)
    rows = "".join(f"<dt>{html.escape(answer.question)}</dt><dd>{answer_html(answer)}</dd>" for answer in answers)
    return (f'<dl class="answers">{rows}</dl>' if rows else "") + terms_block()


def answer_html(answer: Answer) -> str:
    """One answer: its sentences, its command, the way to the code."""
    paragraphs = "".join(f"<p>{html.escape(words)}</p>" for words in answer.sentences if words)
    command = f'<p class="next"><code>{html.escape(answer.command)}</code></p>' if answer.command else ""
    code = (
        '<p>Or write the change into the script: <a href="#code">the change as code</a>.</p>' if answer.has_code else ""
    )
    return paragraphs + command + code


def contents_block(sections: dict[str, str]) -> str:
    """Links to the sections of a page.

    Args:
        sections: Place of each section in the page to its heading, in their order.
    """
    links = "".join(f'<a href="#{place}">{html.escape(heading)}</a>' for place, heading in sections.items())
    return f'<nav aria-label="Contents">{links}</nav>' if links else ""
