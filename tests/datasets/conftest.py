import pytest
from local_server import Server


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of downloads."""
    monkeypatch.setenv("SKUAE_DATA", str(tmp_path / "downloads"))
    return tmp_path / "downloads"
