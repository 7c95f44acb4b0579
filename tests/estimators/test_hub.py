"""Models at Hugging Face, from a server on this machine that answers as it does."""

import hashlib

import numpy as np
import pytest
from local_server import Server

from skuae import CrystalGNNRegressor
from skuae._hub import find_model
from skuae.datasets import make_toy_crystals
from skuae.estimators import load_pretrained
from skuae.models import CGCNN

constants = pytest.importorskip("huggingface_hub.constants")
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Return a server, and a function that puts a folder up as a repository."""
    server = Server()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE",
                        server.url + "/{repo_id}/resolve/{revision}/{filename}")  # fmt: skip

    def put_up(name, files, revision="main"):
        missing = {"status": 404, "headers": {"X-Error-Code": "EntryNotFound"}}
        server.answers[f"/{name}/resolve/{revision}/model.safetensors"] = missing
        for file, body in files.items():
            etag = hashlib.sha256(body).hexdigest()
            server.answers[f"/{name}/resolve/{revision}/{file}"] = {
                "body": body,
                "headers": {"ETag": f'"{etag}"', "X-Repo-Commit": SHA},
            }

    server.put_up = put_up
    yield server
    server.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    toy = make_toy_crystals(16, random_state=0)
    gnn = CrystalGNNRegressor(CGCNN(8, 1), max_epochs=1, random_state=0)
    folder = tmp_path_factory.mktemp("model")
    gnn.fit(toy.structures, toy.target).save_pretrained(folder)
    return gnn, folder, toy.structures


@pytest.mark.parametrize("revision", ["main", "v1"])
def test_a_model_is_fetched_once(hub, model, revision):
    gnn, folder, X = model
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.put_up("owner/name", files | {"weights.bin": b"pickle"}, revision)
    address = "hf://owner/name" + ("" if revision == "main" else f"@{revision}")
    found = CrystalGNNRegressor.from_pretrained(address, device="cpu")
    np.testing.assert_array_equal(found.predict(X), gnn.predict(X))
    assert not any("weights.bin" in path for path, _ in hub.asked)  # nobody asked for it
    assert type(load_pretrained(address)) is CrystalGNNRegressor
    assert sum("safetensors" in path for path in hub.given) == 1
    assert (find_model(address) / "README.md").read_text().startswith("---\n")


def test_what_is_no_model_is_named(hub):
    hub.put_up("owner/other", {"README.md": b"# hello"})
    with pytest.raises(FileNotFoundError, match=r"hf://owner/other holds no model of skuae"):
        find_model("hf://owner/other")
    with pytest.raises(FileNotFoundError, match="hf://owner/absent cannot be fetched: there is"):
        find_model("hf://owner/absent")


@pytest.mark.parametrize("address", ["hf://", "hf://name", "hf://a/b/c", "hf:///b"])
def test_addresses_that_are_none(address):
    with pytest.raises(ValueError, match="write hf://owner/name"):
        find_model(address)
