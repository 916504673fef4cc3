import json

from gradiometer.showing.json_output import json_text, plain
from gradiometer.showing.lab_object import report_object, reports_object
from showing.made_experiment import made_experiment


def test_comes_back_from_json_as_it_was() -> None:
    report = made_experiment()
    found = json.loads(json_text(report_object(report)))
    assert found == plain(report_object(report))
    assert (found["name"], found["title"]) == (report.name, report.title)
    surface = found["sections"][1]["parts"][1]
    assert surface["values"] == report.sections[1].parts[1].values.tolist()  # type: ignore[union-attr]
    assert found["facts"]["Time"] == "12.3 s"


def test_tells_parts_apart_and_gives_each_row_its_verdict() -> None:
    found = report_object(made_experiment())
    kinds = [part if isinstance(part, str) else part["kind"] for part in found["sections"][1]["parts"]]
    assert kinds == ["Colour is the cost.", "heat_map", "heat_map", "heat_map"]
    assert [part["kind"] for part in found["sections"][2]["parts"]] == ["pictures", "table", "chart"]
    assert [row["verdict"] for row in found["rows"]] == ["within", "not run", "within", "outside"]
    assert found["rows"][3]["high"] == "inf"


def test_names_what_could_not_be_run() -> None:
    both = reports_object([made_experiment()], {"faces": "no scikit-image"})
    assert len(both["experiments"]) == 1
    assert both["failed"] == [{"name": "faces", "reason": "no scikit-image"}]
