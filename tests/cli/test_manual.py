"""`--help` is a manual: every verb says what it does, shows commands that can be typed, and names its exit codes."""

import re
import shlex

import pytest
from typer.testing import CliRunner

from gradiometer.cli import PASSING_ON, VERBS, LazyVerbs, app
from gradiometer.cli.manual import EXAMPLES, OTHER_OPTIONS, Section, sections_of
from showing.made_run import write_made_run

WIDTH = 80


def manual_of(verb: str) -> dict[str, Section]:
    return {section.heading: section for section in sections_of(command_of(verb).manual)}


def command_of(verb: str):
    return LazyVerbs().get_command(None, verb)


def help_of(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": str(WIDTH)})
    assert result.exit_code == 0
    return result.stdout


EXAMPLE_COMMANDS = [(verb, command) for verb in VERBS for command, _ in manual_of(verb)[EXAMPLES].entries]


@pytest.mark.parametrize("verb", VERBS)
def test_has_a_manual_for_every_verb_that_fits_a_terminal(verb):
    text = help_of(verb)
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    headings = [line for line in text.splitlines() if re.fullmatch(r"[A-Z][^:]*:", line)]
    assert {"Examples:", "Exit codes:"} <= set(headings)
    assert len(headings) == len(set(headings))


@pytest.mark.parametrize("verb", VERBS)
def test_says_in_one_sentence_what_a_verb_is_for(verb):
    summary = " ".join(command_of(verb).help.split("\n\n")[0].split())
    assert summary.endswith(".")
    assert summary.count(". ") == 0
    assert VERBS[verb].endswith(".")


@pytest.mark.parametrize("verb", VERBS)
def test_puts_every_option_under_a_topic(verb):
    _, _, others = help_of(verb).partition(f"\n{OTHER_OPTIONS}:\n")
    assert re.findall(r"^  (-.*?)  ", others.partition("\n\n")[0], flags=re.MULTILINE) == ["-h, --help"]


@pytest.mark.parametrize("verb", VERBS)
def test_tells_what_its_exit_codes_mean(verb):
    codes = [code for code, meaning in manual_of(verb)["Exit codes"].entries if meaning.endswith(".")]
    assert codes[:2] == ["0", "2"]
    assert set(codes) <= {"0", "2", "3", "130", "N"}
    assert ("N" in codes) == (verb in {"run", "check"})


@pytest.mark.parametrize(("verb", "example"), EXAMPLE_COMMANDS)
def test_shows_commands_that_can_be_typed(verb, example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist.npz").touch()
    words = shlex.split(example)
    start = words.index("gradiometer")
    assert words[start + 1] == verb
    context = command_of(verb).make_context(verb, words[start + 2 :])
    assert context.protected_args == [] if hasattr(context, "protected_args") else context.args == []


def test_hands_a_script_s_words_on_as_the_examples_say():
    for verb in PASSING_ON:
        context = command_of(verb).make_context(verb, ["--steps", "4", "train.py", "--steps", "9", "-h"])
        assert list(context.params["words"]) == ["train.py", "--steps", "9", "-h"]
        assert context.params["steps"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in PASSING_ON | {"live", "replay"}])
def test_shows_reading_commands_that_work(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("run.db", "before.db", "after.db"):
        write_made_run(tmp_path / name)
    (tmp_path / "experiments").mkdir()
    is_quick = [
        example
        for example, _ in manual_of(verb)[EXAMPLES].entries
        if not re.search(r"lab \w|parquet|--clean|--layer", example)
    ]
    assert is_quick
    for example in is_quick:
        result = CliRunner().invoke(app, shlex.split(example)[1:])
        assert result.exit_code in ({3} if "--fail-on" in example else {0}), (example, result.output, result.exception)


def test_answers_to_the_short_option_too():
    assert CliRunner().invoke(app, ["diagnose", "-h"]).stdout == help_of("diagnose")
    assert CliRunner().invoke(app, ["-h"]).stdout == help_of()


def test_lists_every_verb_in_its_own_help():
    text = help_of()
    assert [verb for verb in VERBS if not re.search(rf"^  {verb} ", text, flags=re.MULTILINE)] == []


def test_reads_the_sections_of_a_docstring():
    examples = "Examples:\n    do this\n        That.\n\n    do that\n        This,\n        then.\n"
    text = f"Title.\n\n{examples}\nFiles:\n    a  B.\n"
    assert sections_of(text) == (
        Section("Examples", (("do this", "That."), ("do that", "This, then."))),
        Section("Files", (("a", "B."),)),
    )
