import json
import math
from dataclasses import fields
from pathlib import Path

import numpy as np

from gradiometer.schema import Diagnosis, Finding, LayerStats
from gradiometer.showing.json_output import json_for_html, json_text, plain
from showing.made_run import made_diagnosis, made_outcome, made_run


def test_writes_a_diagnosis_with_exactly_the_fields_of_the_schema() -> None:
    written = json.loads(json_text(made_diagnosis()))
    assert list(written) == [spec.name for spec in fields(Diagnosis)]
    assert list(written["findings"][0]) == [spec.name for spec in fields(Finding)]
    assert written["findings"][0]["cause"]["share_db"] == -120.4


def test_writes_what_is_not_finite_as_words() -> None:
    stats = LayerStats("a", level_db=-math.inf, gain_db=math.nan, output_rms=math.inf)
    written = json.loads(json_text(stats), parse_constant=lambda word: 1 / 0)
    assert (written["level_db"], written["gain_db"], written["output_rms"]) == ("-inf", "nan", "inf")


def test_writes_arrays_numbers_and_paths_plainly() -> None:
    given = {1: np.array([[1.5, np.nan]]), "count": np.int64(3), "flag": np.bool_(True), "path": Path("a/b")}
    assert plain(given) == {"1": [[1.5, "nan"]], "count": 3, "flag": True, "path": "a/b"}
    assert isinstance(plain(np.float64(2.5)), float)


def test_writes_a_whole_run_and_an_outcome() -> None:
    written = json.loads(json_text(made_run()))
    assert written["facts"]["script"] == "train.py"
    assert json.loads(json_text(made_outcome()))["interval"] == [-2.22, -2.13]


def test_lets_no_text_end_a_script_element() -> None:
    hostile = {"</script><!--": "<script>&\u2028"}
    text = json_for_html(hostile)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == hostile
