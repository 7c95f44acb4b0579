"""Commands on workers of dask: parquet files in, parquet files out, each once."""

import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from joblib import cpu_count

from skuae import UAETransformer
from skuae.cli import main
from skuae.commands import _parts
from skuae.datasets import read_structures
from skuae.estimators import load_pretrained, predict_frame

distributed = pytest.importorskip("distributed")
pytest.importorskip("pyarrow")


def read(folder):
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])


def test_parts_are_those_of_one_process(inline, regressor, parts, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["predict", str(regressor), str(parts), "-o", str(out), "--scheduler", "local"]
    assert main([*command, "--quiet"]) == 1
    said, err = capsys.readouterr()
    assert said == f"12 rows in 3 files -> {out}\n"
    assert "1 of 12 rows failed; the first is c5: " in err
    names = [str(path) for path in sorted(parts.iterdir())]
    assert main(["predict", str(regressor), *names, "-o", str(tmp_path / "o.parquet"),
                 "--quiet", "--device", "cpu"]) == 1  # fmt: skip
    found, expected = read(out), pd.read_parquet(tmp_path / "o.parquet")
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected, rtol=1e-5)
    assert found["error"].notna().tolist() == [i == 5 for i in range(12)]
    # The first file has no errors: it must not set a type that the others do not fit.
    pd.testing.assert_frame_equal(pd.read_parquet(out), found.reset_index(drop=True))


def test_a_second_run_makes_what_is_missing(inline, parts, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    command = ["featurize", str(parts), "-o", str(out), "--embedding", "magpie", "--quiet"]
    command += ["--scheduler", "local"]
    assert main(command) == 1
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    uae = UAETransformer("magpie")
    table = read(out)
    assert list(table) == ["id", "y", *uae.feature_labels(), "error"]
    good = read_structures([parts / "part-0.parquet"]).structures
    np.testing.assert_allclose(table.iloc[:4, 2:-1].to_numpy(float), uae.fit_transform(good))
    (out / "part-1.parquet").unlink()
    made = []
    monkeypatch.setattr(_parts, "_make", lambda *args, real=_parts._make: made.append(real(*args)))
    assert main(command) == 1
    assert capsys.readouterr().out == f"12 rows in 3 files (2 were there) -> {out}\n"
    assert len(made) == 1
    for path, written in before.items():
        assert (path.stat().st_mtime_ns == written) == (path.name != "part-1.parquet")
    pd.testing.assert_frame_equal(read(out), table)
    assert main([*command, "--set", "on_missing_element=mean"]) == 2
    assert "holds the results of another model, table or command" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 1
    assert len(made) == 4


def test_a_file_that_is_damaged_stops_no_others(inline, regressor, parts, tmp_path, capsys):
    good = (parts / "part-1.parquet").read_bytes()
    (parts / "part-1.parquet").write_bytes(good[:-5])
    out = tmp_path / "out"
    command = ["predict", str(regressor), str(parts), "-o", str(out), "--scheduler", "local"]
    assert main([*command, "--quiet"]) == 2
    said, err = capsys.readouterr()
    assert said == f"8 rows in 2 files -> {out}\n"
    assert "1 of 3 files failed: " in err and "part-1.parquet is damaged" in err
    (parts / "part-1.parquet").write_bytes(good)
    assert main([*command, "--quiet"]) == 1
    assert "12 rows in 3 files (2 were there)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["a.cif", "-o", "out"], "reads parquet files"),
        (["none.parquet", "-o", "out"], "there is no file none.parquet"),
        (["empty", "-o", "out"], "holds no parquet files"),
        (["parts"], "give -o FOLDER"),
        (["parts", "--json"], "leave out --json"),
        (["parts", "parts/part-0.parquet", "-o", "out"], "have the same name"),
        (["parts", "-o", "parts"], "part-0.parquet would be replaced"),
        (["parts", "-o", "taken"], "holds parquet files of something else"),
    ],
)
def test_wrong_commands(inline, regressor, parts, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    pd.DataFrame({"id": ["a"], "error": [None]}).to_parquet("taken/part-1.parquet")
    assert main(["predict", str(regressor), *more, "--scheduler", "local"]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.parquet"))


@pytest.fixture
def featurize(inline, monkeypatch):
    """Return a function that featurizes on workers: its status, and the files it has made."""
    made = []

    def make(compute, shared, source, *more, real=_parts._make):
        real(compute, shared, source, *more)
        made.append(os.path.basename(source))

    monkeypatch.setattr(_parts, "_make", make)

    def run(out, *more):
        made.clear()
        command = ["featurize", *map(str, more), "-o", str(out), "--scheduler", "local"]
        return main([*command, "--embedding", "magpie", "--quiet"]), sorted(made)

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
@pytest.mark.parametrize("how", ["folder", "link to the folder", "link to another file"])
def test_inputs_are_never_written_over(featurize, parts, tmp_path, capsys, how, more):
    out, before = tmp_path / "out", contents(parts)
    if how == "folder":
        out = parts
    elif how == "link to the folder":
        out.symlink_to(parts, target_is_directory=True)
    else:
        out.mkdir()
        (out / "part-1.parquet").symlink_to(parts / "part-2.parquet")
    assert featurize(out, parts, *more) == (2, [])
    assert "would be replaced by its result or that of another file" in capsys.readouterr().err
    assert contents(parts) == before


def test_results_of_other_inputs_are_refused(featurize, parts, tmp_path, capsys):
    """Another folder has files of the same names, with other crystals."""
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    for i in range(2):
        frame = pd.read_parquet(parts / f"part-{i}.parquet")
        frame.assign(id="other-" + frame["id"]).to_parquet(other / f"part-{i}.parquet")
    first = parts / "part-0.parquet"
    assert featurize(out, first) == (0, ["part-0.parquet"])
    before = contents(out)
    assert featurize(out, other) == (2, [])
    err = capsys.readouterr().err
    assert f"part-0.parquet holds the results of {os.path.realpath(first)}, not of" in err
    assert contents(out) == before
    assert featurize(out, other, "--overwrite") == (1, ["part-0.parquet", "part-1.parquet"])
    assert read(out)["id"].tolist() == [f"other-c{i}" for i in range(8)]


def test_a_changed_input_is_done_again(featurize, parts, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert featurize(out, parts) == (1, [f"part-{i}.parquet" for i in range(3)])
    changed = parts / "part-2.parquet"
    frame = pd.read_parquet(changed)
    frame.assign(id="new-" + frame["id"]).to_parquet(changed, index=False)
    monkeypatch.chdir(tmp_path)
    assert featurize("out", "parts") == (1, ["part-2.parquet"])
    ids = [f"c{i}" for i in range(8)] + [f"new-c{i}" for i in range(8, 12)]
    assert read(out)["id"].tolist() == ids
    assert featurize(out, parts) == (1, [])
    later = changed.stat().st_mtime_ns + 10**9  # the same size at another time
    os.utime(changed, ns=(later, later))
    assert featurize(out, parts) == (1, ["part-2.parquet"])


def test_old_results_stay_until_there_are_new_ones(featurize, parts, tmp_path, capsys):
    out = tmp_path / "out"
    assert featurize(out, parts)[0] == 1
    before = contents(out)
    damaged = parts / "part-1.parquet"
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-5])
    assert featurize(out, parts, "--overwrite") == (2, ["part-0.parquet", "part-2.parquet"])
    assert f"1 of them still have old results in {out}" in capsys.readouterr().err
    assert contents(out)["part-1.parquet"] == before["part-1.parquet"]
    assert featurize(out, parts) == (2, [])  # the old result does not pass for a new one
    damaged.write_bytes(good)
    assert featurize(out, parts) == (1, ["part-1.parquet"])


def test_a_folder_never_mixes_settings(featurize, parts, tmp_path, capsys):
    out, first = tmp_path / "out", parts / "part-0.parquet"
    mean = ["--set", "on_missing_element=mean"]
    assert featurize(out, parts)[0] == 1
    before = contents(out)
    assert featurize(out, first, *mean, "--overwrite") == (2, [])
    err = capsys.readouterr().err
    assert "part-1.parquet holds the results of another model, table or command" in err
    assert "or remove this file" in err and contents(out) == before
    assert featurize(out, parts, *mean, "--overwrite")[0] == 1
    assert featurize(out, parts, *mean) == (1, [])
    # A run was killed between two files: each says what it is, and the run can be repeated.
    (out / "part-1.parquet").write_bytes(before["part-1.parquet"])
    for settings in ([], mean):
        assert featurize(out, parts, *settings) == (2, [])
    assert featurize(out, parts, *mean, "--overwrite")[0] == 1
    assert featurize(out, parts, *mean) == (1, [])


def test_jobs_are_counted_as_elsewhere():
    n = cpu_count()
    expected = {None: n, -1: n, 1: 1, n + 1: n + 1}
    assert {jobs: _parts._n_workers(jobs) for jobs in expected} == expected


def test_no_scheduler_answers(regressor, parts, tmp_path, capsys, monkeypatch):
    def refuse(address, timeout):
        raise OSError(f"timed out during connection to {address}")

    monkeypatch.setattr(distributed, "Client", refuse)
    command = ["predict", str(regressor), str(parts), "-o", str(tmp_path / "out")]
    assert main([*command, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "no scheduler of dask answers there" in capsys.readouterr().err


def _kill_one_worker(client, out):
    """Kill a worker with what it has made so far, as soon as a file is there."""
    deadline = time.monotonic() + 300
    while not list(out.glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    pids = list(client.run(os.getpid).values())
    os.kill(pids[0], signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_worker_is_killed_in_the_middle(regressor, parts, tmp_path, capsys):
    """All parts are there in the end, each whole; the network is loaded in one task."""
    whole = pd.concat([pd.read_parquet(path) for path in sorted(parts.iterdir())])
    for i in range(3, 24):
        frame = pd.concat([whole.assign(id=whole["id"] + f"-{i}-{k}") for k in range(8)])
        frame.to_parquet(parts / f"part-{i:02d}.parquet", index=False)
    out = tmp_path / "out"
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    )
    with cluster, distributed.Client(cluster) as client:
        killer = threading.Thread(target=_kill_one_worker, args=(client, out))
        killer.start()
        command = ["predict", str(regressor), str(parts), "-o", str(out), "--device", "cpu"]
        command += ["--scheduler", cluster.scheduler_address, "--quiet"]
        status = main(command)
        killer.join()
        assert status == 1
        n_before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
        assert main(command) == 1
    said = capsys.readouterr().out.splitlines()
    n_rows = 12 + 21 * 12 * 8
    assert said[0] == f"{n_rows} rows in 24 files -> {out}"
    assert said[1] == f"{n_rows} rows in 24 files (24 were there) -> {out}"
    assert {p.name: p.stat().st_mtime_ns for p in out.glob("*.parquet")} == n_before
    assert not list(out.glob("*.tmp"))
    table = read(out).set_index("id")
    assert table.index.is_unique
    assert table["error"].notna().sum() == 1 + 21 * 8
    cells = pd.concat([pd.read_parquet(path) for path in sorted(parts.iterdir())])
    expected = predict_frame(load_pretrained(regressor), cells.set_index("id")["cif"])
    found = table.loc[expected.index, "en_predicted"]
    np.testing.assert_allclose(found, expected["en_predicted"], rtol=1e-4)


@pytest.mark.slow
def test_a_cluster_of_this_machine(regressor, parts, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["predict", str(regressor), str(parts), "-o", str(out), "--quiet"]
    assert main([*command, "--scheduler", "local", "--jobs", "2", "--device", "cpu"]) == 1
    assert capsys.readouterr().out == f"12 rows in 3 files -> {out}\n"
