"""The script for machines with a GPU runs on a CPU too, and loses nothing it has measured."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skuae import crystal_pipeline
from skuae.crystals import Links
from skuae.datasets import FormulaKFold, make_toy_crystals
from skuae.models import BACKBONES
from skuae.models._edges import linear_at_edges

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def report(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(FOLDER)
    from _report import Report

    return lambda budget_s: Report(tmp_path / "gpu.json", budget_s, clock="CPU time")


def read(report):
    return json.loads(report.path.read_text())


def test_cases_that_fail_are_recorded(report):
    report = report(60)
    assert read(report)["clock"] == "CPU time"
    report.run("rates", {"backbone": "cgcnn"}, lambda: {"per_s": 2.0})
    report.run("rates", {"backbone": "megnet"}, lambda: 1 // 0)
    assert len(read(report)["rates"]) == 2
    report.run("rates", {"backbone": "alignn"}, lambda: {"per_s": 1.0})
    first, failed, last = read(report)["rates"]
    assert (first["per_s"], last["per_s"]) == (2.0, 1.0)
    assert failed["backbone"] == "megnet"
    assert failed["error"].startswith("ZeroDivisionError")


def test_cases_beyond_the_budget_are_not_begun(report):
    report = report(-1)
    report.run("rates", {"backbone": "cgcnn"}, lambda: pytest.fail("was begun"))
    assert read(report)["rates"][0]["not_run"].endswith("s left of -1")


def test_products_inside_autograd_functions_are_counted(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    from _common import count_products

    n, degree, m, w = 5, 3, 7, 4
    links = Links(
        torch.arange(n).repeat_interleave(degree), torch.arange(n * degree) % n, n, degree
    )
    ends = torch.randn(2, n, w)
    edge, weight = (torch.randn(shape, requires_grad=True) for shape in ((n * degree, m), (w, m)))
    count, shape = count_products(
        lambda: linear_at_edges(*ends, edge, weight, links).sum().backward()
    )
    assert count == 3 * 2 * n * degree * m * w
    assert sorted(shape) == sorted((n * degree, m, w))


def test_blends_of_parts_are_those_of_the_pipeline(monkeypatch, tmp_path):
    """They share the fits of their parts, which the pipeline itself makes anew."""
    monkeypatch.syspath_prepend(FOLDER)
    import compare_few_labels

    toy = make_toy_crystals(30, random_state=0)
    rows = np.arange(20), np.arange(20, 30)
    quick = {"cv": FormulaKFold(2), "network__max_epochs": 2, "trees__catboost__iterations": 5}

    def pipeline(*args, **params):
        return crystal_pipeline(*args, device="cpu", **params).set_params(**quick)

    monkeypatch.setattr(compare_few_labels, "crystal_pipeline", pipeline)
    task = toy.structures, toy.target, *rows
    monkeypatch.setattr(compare_few_labels, "read_task", lambda *args: task)
    args = SimpleNamespace(n=20, data=None, networks=None, parts=tmp_path)
    first = list(compare_few_labels.run("gap of toys", args, 0))
    monkeypatch.setattr(compare_few_labels, "predictions_of", None)  # all are in the folder
    assert list(compare_few_labels.run("gap of toys", args, 0)) == first
    errors = {name: error for name, error, _ in first}
    drawn = np.random.default_rng(0).permutation(rows[0])
    for name, model in (("pipeline, mp", "mp"), ("pipeline, None", None)):
        whole = pipeline("regressor", 20, model=model, random_state=0)
        whole.fit(toy.structures[drawn], toy.target[drawn])
        found = whole.predict(toy.structures[rows[1]])
        assert errors[name] == pytest.approx(np.abs(found - toy.target[rows[1]]).mean(), rel=1e-6)


@pytest.mark.slow
def test_gpu_script_on_a_cpu(tmp_path):
    output = tmp_path / "gpu.json"
    command = [sys.executable, FOLDER / "gpu.py", "--device", "cpu", "--n", "20", "--repeats", "1"]
    command += ["--epochs", "1", "--batch-sizes", "8", "--threads", "1", "--output", output]
    command += ["--parts", "fit", "rates", "noise"]  # not the tests: they would run this one
    subprocess.run(command, check=True)
    found = json.loads(output.read_text())
    assert found["machine"]["torch"] == torch.__version__
    assert found["seconds"]["all"] > found["seconds"]["rates"] > 0
    cases = [*found["fit"], *found["rates"], *found["noise"]]
    assert not [case["error"] for case in cases if "error" in case]
    for part in ("rates", "noise"):
        done = {case["backbone"] for case in found[part] if case.get("training_per_s", 0) > 0}
        assert done == set(BACKBONES)
    for case in found["fit"]:
        if "largest_difference" in case:
            assert case["largest_difference"] == 0
            assert case["error_on_device"] == case["error_on_cpu"]


def test_products_as_hardware_has_them_round_once(monkeypatch):
    """Factors and results are bfloat16, sums are float32; other dtypes are left alone."""
    monkeypatch.syspath_prepend(FOLDER)
    import compare_precision

    for owner, name in (
        (torch, "mm"),
        (torch, "addmm"),
        (torch.Tensor, "__matmul__"),
        (torch.nn.functional, "linear"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # to be restored
    a, b, c = torch.randn(7, 50), torch.randn(50, 3), torch.randn(7, 3)
    plain = a @ b, torch.addmm(c, a, b), torch.nn.functional.linear(a, b.t(), c[0])
    short = [x.bfloat16() for x in (a, b, c)]
    exact = short[0].float() @ short[1].float()
    compare_precision.compute_products_in_float32()
    out = torch.empty(7, 3, dtype=torch.bfloat16)
    assert torch.mm(short[0], short[1], out=out) is out
    assert torch.equal(out, exact.bfloat16())
    assert torch.equal(short[0] @ short[1], out)
    assert torch.equal(torch.addmm(short[2], *short[:2]), (exact + short[2].float()).bfloat16())
    got = a @ b, torch.addmm(c, a, b), torch.nn.functional.linear(a, b.t(), c[0])
    assert all(torch.equal(x, y) for x, y in zip(got, plain, strict=True))


def test_intervals_draw_whole_formulas(monkeypatch):
    """Rows of one formula do not count as independent."""
    monkeypatch.syspath_prepend(FOLDER)
    from compare_crystalbert_sen import _interval

    rng = np.random.default_rng(0)
    base, step = rng.random(400), np.repeat(rng.normal(size=40), 10)
    errors = {("CGCNN", 0): base, ("equal", 0): base, ("worse", 0): base + 0.25}
    errors |= {("CGCNN", 1): base, ("worse", 1): base + 0.75, ("mixed", 0): base + step}
    alone, groups = np.arange(400), np.repeat(np.arange(40), 10)
    assert _interval(errors, "CGCNN", "CGCNN", alone, 1, 2) == ""
    assert _interval(errors, "equal", "CGCNN", alone, 1, 2) == "+0.00 [+0.00, +0.00]"
    assert _interval(errors, "worse", "CGCNN", alone, -100, 1) == "-50.0 [-50.0, -50.0]"

    def width(rows):
        found = _interval(errors, "mixed", "CGCNN", rows, 1, 4)
        low, high = found.split("[")[1].strip("]").split(", ")
        return float(high) - float(low)

    assert width(groups) > 2 * width(alone)
