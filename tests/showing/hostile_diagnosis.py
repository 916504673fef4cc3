"""A diagnosis whose names try to break out of whatever they are written into."""

from dataclasses import replace

from gradiometer.schema import Diagnosis, Run
from showing.made_run import made_diagnosis, made_finding, made_run

HOSTILE_NAMES = (
    "</failure></testcase><script>alert(1)</script>",
    "a\x00b\x1b[31mred\x85\ufffe",
    "lone \ud800 surrogate",
    "]]> <![CDATA[ &amp; &#x41; %SRCROOT% ${{ secrets.TOKEN }} {0}",
    "[click](javascript:alert(1)) ![x](http://evil.example/x.png) @everyone | cell | `code` <img src=x>",
    "line\none\n::error file=train.py::injected\n",
)


def hostile(name: str) -> tuple[Run, Diagnosis]:
    """A run with a layer of this name, found vanishing in every text that may hold a name."""
    run = made_run(2)
    layers = (replace(run.layers[0], name=name, call_site="train.py:12"), *run.layers[1:])
    given = made_diagnosis(name)
    finding = made_finding(name, summary=f"The gradient is lost at {name}.", prognosis=f"{name} stays")
    diagnosis = replace(given, findings=(replace(finding, consequences=given.findings[0].consequences),))
    return replace(run, layers=layers), diagnosis
