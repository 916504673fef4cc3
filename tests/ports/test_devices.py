"""Devices that gradiometer has no reduction of its own for, as Apple's (`mps`) and Intel's (`xpu`).

Here they are stood for by a device that torch is told of in another process, for it can't be told to forget it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradiometer.measuring.exact_format import exact_format
from gradiometer.measuring.reductions import note_on_device, reduce_fused, reduce_plainly, reduction_for
from gradiometer.measuring.reductions_in_blocks import reduce_in_blocks

TESTS = Path(__file__).parents[1]


def test_chooses_the_definition_for_every_kind_of_device_without_a_reduction_of_its_own() -> None:
    assert {kind: reduction_for(kind) for kind in ("mps", "xpu", "hpu", "privateuseone")} == dict.fromkeys(
        ("mps", "xpu", "hpu", "privateuseone"), reduce_plainly
    )
    assert reduction_for("cpu") is reduce_in_blocks
    assert reduction_for("cuda") in {reduce_fused, reduce_plainly}


def test_notes_in_the_coverage_what_is_measured_by_plain_torch() -> None:
    assert note_on_device(torch.device("cpu")) == ""
    assert note_on_device(torch.device("meta")) == "meta: measured by plain torch"


def test_sums_in_float32_where_a_device_has_nothing_wider() -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this machine has Metal: what torch says without it can't be seen")
    # Without Metal, torch can allocate nothing there: that counts as a format that is not there.
    assert exact_format(torch.device("mps")) == torch.float32
    assert exact_format(torch.device("cpu")) == torch.float64


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch can't be told of a device in Python",
)
def test_measures_all_on_a_device_without_float64_and_changes_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ports.train_on_narrow_device", str(tmp_path / "told.json")]
    answer = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[:2000]
    told: dict[str, dict[str, Any]] = json.loads((tmp_path / "told.json").read_text())
    assert set(told) == {"linear", "convolution"}
    for name, one in told.items():
        assert one["is_equal"], name
        assert one["is_plain"]
        assert one["faults"] == []
        assert "slim: measured by plain torch, without float64" in one["coverage"]
        assert one["snapshots"] == 12
        assert set(one["turns"]) == {"similarity", "per_example", "histograms", "units"}
        # float32 squares have seven digits, of which a level in dB keeps five behind the point.
        np.testing.assert_allclose(one["levels"], one["levels_on_cpu"], atol=1e-4)
