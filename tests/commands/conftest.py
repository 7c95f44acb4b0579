import pandas as pd
import pytest

from skuae.cli import main
from skuae.datasets import make_toy_crystals

SMALL = ["max_epochs=2", "backbone__atom_dim=8", "backbone__n_conv=1", "backbone__hidden_dim=8"]


@pytest.fixture(scope="session")
def toy():
    return make_toy_crystals(30, prototypes="rocksalt", random_state=0, as_frame=True)


@pytest.fixture(scope="session")
def cifs(toy, tmp_path_factory):
    """A folder of CIF files with id_prop.csv: a number, one of three classes, 0 or 1 with a gap."""
    folder = tmp_path_factory.mktemp("data") / "cifs"
    folder.mkdir()
    lines = ["id,en,kind,flag"]
    for i, (structure, y) in enumerate(zip(toy.structures, toy.target, strict=True)):
        structure.to(filename=str(folder / f"c{i}.cif"))
        lines.append(f"c{i},{y},{'abc'[i % 3]},{'' if i == 4 else i % 2}")
    (folder / "id_prop.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def train():
    """Return a function that trains a small model and returns the exit status."""

    def run(data, output, *more, settings=()):
        arguments = ["train", str(data), "-o", str(output), "--quiet", "--device", "cpu", *more]
        return main([*arguments, "--set", *SMALL, *settings])

    return run


@pytest.fixture(scope="session")
def regressor(train, cifs, tmp_path_factory):
    """The folder of a model with a unit and standard deviations."""
    folder = tmp_path_factory.mktemp("models") / "regressor"
    more = ["--target", "en", "--unit", "eV"]
    assert train(cifs, folder, *more, settings=["loss=gaussian_nll"]) == 0
    return folder


@pytest.fixture(scope="session")
def classifier(train, cifs, tmp_path_factory):
    """The folder of a classifier whose errors were measured in three folds."""
    folder = tmp_path_factory.mktemp("models") / "classifier"
    assert train(cifs, folder, "--target", "kind", "--folds", "3") == 0
    return folder


@pytest.fixture
def files(toy, tmp_path, monkeypatch):
    """A folder to work in: two structure files, and one that cannot be read."""
    monkeypatch.chdir(tmp_path)
    for name, structure in zip("ab", toy.structures, strict=False):
        structure.to(filename=f"{name}.cif")
    (tmp_path / "broken.cif").write_text("data_x\n")
    return tmp_path


class Inline:
    """A scheduler that runs all tasks at once, in this process."""

    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def submit(self, function, *args, pure=True):
        args = [arg.value if isinstance(arg, Done) else arg for arg in args]
        try:
            return Done(function(*args), None)
        except Exception as error:
            return Done(None, error)


class Done:
    def __init__(self, value, error):
        self.value, self.error = value, error
        self.status = "error" if error else "finished"

    def exception(self):
        return self.error

    def result(self):
        return self.value


@pytest.fixture
def inline(monkeypatch):
    """Run tasks of dask at once, in this process."""
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(distributed, "Client", Inline)
    monkeypatch.setattr(distributed, "LocalCluster", Inline)
    monkeypatch.setattr(distributed, "as_completed", list)
    monkeypatch.setattr(distributed, "wait", lambda future: None)


@pytest.fixture
def parts(tmp_path):
    """Three tables of crystals; one cell of the second holds none."""
    toy = make_toy_crystals(12, prototypes="rocksalt", random_state=0)
    cifs = [structure.to(fmt="cif") for structure in toy.structures]
    cifs[5] = "data_nothing"
    frame = pd.DataFrame({"id": [f"c{i}" for i in range(12)], "cif": cifs, "y": toy.target})
    folder = tmp_path / "parts"
    folder.mkdir()
    for i in range(3):
        frame[4 * i : 4 * i + 4].to_parquet(folder / f"part-{i}.parquet", index=False)
    return folder
