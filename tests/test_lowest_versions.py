"""skuae works with the lowest versions that it asks for, all of them together."""

import pytest
from fresh_environments import ROOT, environment, run

# What has told versions apart: the examples of all public objects, files, pickles, scikit-learn
# around our estimators, and what needs extras. CONTRIBUTING.md has the command for all tests.
TELLING = (
    "skuae",
    "tests/estimators/test_persistence.py",
    "tests/estimators/test_composition.py::test_set_output",
    "tests/estimators/test_composition.py::test_routing_of_sample_weight",
    "tests/estimators/test_composition.py::test_classical_regressors_behind_the_features",
    "tests/estimators/test_hub.py",
    "tests/crystals/test_reading.py",
    "tests/crystals/test_reduced.py::test_nearly_symmetric",
    "tests/crystals/test_space_groups.py",
    "tests/datasets/test_file.py",
    "tests/datasets/test_download.py",
    "tests/embedding/test_uae.py",
    "tests/embedding/test_interchange.py",
    "tests/embedding/test_registry.py",
    "tests/analysis/tables/test_clusters.py::test_three_blobs",
    "tests/pipelines/test_pipeline.py",
    "tests/test_matminer.py",
)


@pytest.mark.slow
def test_lowest_versions():
    needed = ("-e", f"{ROOT}[all]", "pytest", "PyYAML")
    with environment("constraints-lowest.txt", *needed) as python:
        command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow")
        assert " passed" in run(*command, *TELLING, cwd=ROOT, PYTEST_ADDOPTS="")
