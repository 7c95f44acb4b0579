"""A fit that two processes share is the fit of one process, and an error of one is that of both."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import fits_on_ranks
import numpy as np
import pandas as pd
import pytest
import torch
from fits_on_ranks import FITS

from skuae import CrystalGNNRegressor, _ranks
from skuae.cli import main
from skuae.training import resolve_device
from skuae.training._norms import check_norms

QUICK = ["cgcnn", "alignn by sgd", "one rank without bonds", "a batch without bonds", "classes"]
OTHERS = ["random draws", "resumed", "stopped", "stopped by rank 1", "failed", "other rows"]
# SEN draws noise in training, which each rank does for itself.
SLOW = [name for name in FITS if name not in (*QUICK, "sen")]

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this torch has no torch.distributed"
)


def launch(folder, *names, **environ):
    """Run fits in two processes."""
    return torchrun(fits_on_ranks.__file__, folder, *names, **environ)


def torchrun(*arguments, **environ):
    """Run a script or module in two processes."""
    script = Path(fits_on_ranks.__file__)
    paths = [str(script.parent), str(script.parent.parent), os.environ.get("PYTHONPATH", "")]
    environ = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths), **environ}
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *command, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **environ},
    )


def found_by(folder, names):
    run = launch(folder, *names)
    assert run.returncode == 0, run.stderr
    read = {name: [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in (0, 1)]
            for name in names}  # fmt: skip
    for first, second in read.values():
        assert second.get("weights") == first.get("weights")
        assert second.get("predicted") == first.get("predicted")
    return read


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What both ranks found in each fit."""
    return found_by(tmp_path_factory.mktemp("ranks"), [*QUICK, *OTHERS])


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    others = ["sen", "pretrained", "potential", "in workers"]
    return found_by(tmp_path_factory.mktemp("ranks"), [*SLOW, *others])


def assert_as_in_one_process(name, folder, found):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = FITS[name](folder)
    torch.set_num_threads(threads)
    for part in found:
        assert part.keys() == expected.keys()
        for what in ("losses", "tried", "predicted", *(expected.keys() & {"scores"})):
            np.testing.assert_allclose(part[what], expected[what], rtol=0, atol=1e-7)
        assert part["weights"].keys() == expected["weights"].keys()
        for weight, values in expected["weights"].items():
            np.testing.assert_allclose(part["weights"][weight], values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.filterwarnings("ignore:.*no atom has a neighbour")
def test_two_ranks_train_as_one_process(name, tmp_path, quick):
    assert_as_in_one_process(name, tmp_path, quick[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
@pytest.mark.filterwarnings("ignore:.*no atom has a neighbour", "ignore:.*can only guess")
def test_two_ranks_train_every_model_as_one_process(name, tmp_path, slow):
    assert_as_in_one_process(name, tmp_path, slow[name])


def test_progress_is_shown_by_rank_0(quick):
    assert [part["bar"] for part in quick["random draws"]] == [True, False]


def test_a_fit_without_a_seed_is_one_fit(quick):
    """The weights of both ranks are compared above; these have dropout and turned crystals, too."""
    assert quick["random draws"][0]["losses"] == quick["random draws"][1]["losses"]


def test_rank_0_writes_checkpoints_from_which_all_go_on(quick):
    for part in quick["resumed"]:
        assert len(part["files"]) == 1
        assert part["epochs"] == [2, 3, 4, 5]
        assert part["weights"] == part["whole"]


def test_callbacks_of_rank_0_end_the_fit(quick):
    assert [len(part["losses"]) for part in quick["stopped"]] == [2, 2]
    assert [len(part["losses"]) for part in quick["stopped by rank 1"]] == [3, 3]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("failed", "ArithmeticError: the second epoch is cursed"),
        ("other rows", "ValueError: data, parameters or first weights differ from those of rank 0"),
    ],
)
def test_an_error_in_one_rank_is_one_in_all(name, error, quick):
    first, second = quick[name]
    assert second["error"].startswith(error)
    assert first["error"].startswith(
        f"RuntimeError: a fit on 2 ranks failed; rank 1 of 2 ended it: {error}"
    )
    for part in (first, second):  # the next fit is undisturbed
        assert part["losses"] == quick["cgcnn"][0]["losses"]


@pytest.mark.slow
def test_what_needs_one_process_says_so(slow):
    for part in slow["potential"]:
        assert "CrystalPotential.fit works in one process, and this is one of 2" in part["error"]
    for part in slow["in workers"]:
        assert "this is a worker process in one of 2 ranks" in part["error"]


@pytest.mark.slow
def test_pretraining_writes_its_files_once(slow):
    first, second = slow["pretrained"]
    files = ["README.md", "config.json", "ct-uae.safetensors", "model", "split.csv"]
    assert first["files"] == files
    assert first["table"] == second["table"]


@pytest.mark.slow
def test_the_command_writes_and_prints_once(tmp_path):
    table = pd.DataFrame({"cif": [s.to(fmt="cif") for s in fits_on_ranks.X]})
    table.assign(y=fits_on_ranks.TOY.target).to_csv(tmp_path / "toy.csv")
    command = ["train", str(tmp_path / "toy.csv"), "--target", "y", "--device", "cpu", "-o"]
    settings = ["--set", "max_epochs=1"]  # more would let rounding grow
    run = torchrun("-m", "skuae", *command, str(tmp_path / "both"), *settings)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("MAE") == 1
    assert run.stderr.count("rows to train on") == 2  # without the rows held out, then with them
    assert main([*command, str(tmp_path / "one"), *settings]) == 0
    both, one = (
        json.loads((tmp_path / name / "metrics.json").read_text())["errors"]["y"]
        for name in ("both", "one")
    )
    assert both["MAE"] == pytest.approx(one["MAE"], rel=1e-3)


@pytest.mark.slow
def test_an_error_that_nobody_catches_ends_all_ranks(tmp_path):
    run = launch(tmp_path, "not caught")
    assert run.returncode
    assert "ArithmeticError: the second epoch is cursed" in run.stderr
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on this system")
def test_a_rank_that_is_killed_ends_all_ranks(tmp_path):
    run = launch(tmp_path, "died")
    assert run.returncode
    assert "exitcode: -9" in run.stderr
    assert not list(tmp_path.glob("*.json"))


@pytest.fixture
def as_rank_1(monkeypatch):
    """Look like the second of three ranks, outside of any fit."""
    environ = {"RANK": "1", "WORLD_SIZE": "3", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def test_the_environment_says_which_rank_this_is(as_rank_1, monkeypatch):
    assert _ranks.rank_and_size() == (1, 3)
    assert not _ranks.is_first()
    assert not _ranks.are_together()
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(ValueError, match="RANK='3' and WORLD_SIZE='3'"):
        _ranks.rank_and_size()
    monkeypatch.delenv("WORLD_SIZE")
    assert _ranks.rank_and_size() == (0, 1)


def test_a_fit_in_a_thread_of_a_rank_is_refused(as_rank_1):
    errors = []

    def fit():
        try:
            CrystalGNNRegressor(device="cpu").fit(fits_on_ranks.X, fits_on_ranks.TOY.target)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert "a worker thread in one of 3 ranks" in errors[0]
    assert "set n_jobs=1" in errors[0]


def test_each_rank_of_a_machine_has_its_own_gpu(as_rank_1, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="rank 2 of this machine has no GPU of its own"):
        resolve_device("auto")


def test_devices_without_communication_are_refused(as_rank_1):
    with (
        pytest.raises(ValueError, match='not on mps; set device="cpu"'),
        _ranks.together(torch.device("mps")),
    ):
        pass


def test_a_batch_is_cut_into_parts_of_nearly_equal_size(monkeypatch):
    parts = []
    for rank in range(3):
        monkeypatch.setattr(_ranks, "_together", SimpleNamespace(rank=rank, size=3))
        parts.append(_ranks.own_part(np.arange(8)))
        with pytest.raises(ValueError, match="a batch has 2 crystals, fewer than there are ranks"):
            _ranks.own_part(np.arange(2))
    assert [len(part) for part in parts] == [2, 3, 3]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(8))


def test_norms_that_know_one_rank_only_are_named():
    check_norms(torch.nn.Sequential(torch.nn.LayerNorm(3)))
    with pytest.raises(ValueError, match="0 is a BatchNorm1d, which knows nothing of other ranks"):
        check_norms(torch.nn.Sequential(torch.nn.BatchNorm1d(3)))
