from __future__ import annotations

from pathlib import Path

import pytest
from small_jobs import classifier, samples
from toy_plugin.codebook import Codebook

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from hwprofiles import find_device
from search.techniques import Subject
from search.testing.techniques import TechniqueConformance

pytestmark = pytest.mark.usefixtures("toy_package")


class TestCodebook(TechniqueConformance):
    kind = Codebook

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        rows = samples(32)["x"]
        model = clean_graph(classifier(2))
        return Subject(
            model=model, groups=layer_groups(model, {"x": [8, *rows.shape[1:]]}), digest="a model",
            sample={"x": rows[:8]}, calibration_batches=lambda count: [{"x": rows}], cache=tmp_path,
            profile=find_device("local-cpu"), wanted=frozenset(),
        )  # fmt: skip
