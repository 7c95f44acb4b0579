import gzip
import hashlib
import io
import json
import zipfile

import numpy as np
import pandas as pd
import pooch
import pytest

from skuae import _download
from skuae._download import data_folder, download
from skuae.crystals import Crystals
from skuae.datasets import _keep, make_toy_crystals
from skuae.datasets._keep import keep

CONTENT = b"what was published" * 1000
HASH = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def zipped(member="file", method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        entry = zipfile.ZipInfo(member)  # with a fixed date: files of two seconds are equal
        entry.compress_type = method
        archive.writestr(entry, CONTENT)
    return buffer.getvalue()


def flipped(content, place):
    content = bytearray(content)
    content[place] ^= 0xFF
    return bytes(content)


SQUEEZED = zipped(method=zipfile.ZIP_DEFLATED)
BAD_ZIPS = {
    "page": b"<html>please log in</html>",
    "cut": zipped()[:-30],
    "bit": flipped(zipped(), 500),
    "squeezed": flipped(SQUEEZED, 40),  # zlib.error
    "method": flipped(SQUEEZED, SQUEEZED.index(b"PK\1\2") + 10),  # NotImplementedError
    "other": zipped("other"),
}


def left_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_downloaded_once(server, folder):
    server.answers["/file"] = {"body": CONTENT}
    path = download("file", [f"{server.url}/file"], known_hash=HASH)
    assert path == folder / "file" and path.read_bytes() == CONTENT
    assert left_in(folder) == ["file"]
    server.answers.clear()
    assert download("file", [f"{server.url}/file"], known_hash=HASH) == path
    assert len(server.asked) == 1


BAD = {
    "truncated": ({"body": CONTENT[:100], "length": len(CONTENT)}, "IncompleteRead|Connection"),
    "other": ({"body": CONTENT + b"!"}, "does not match the known hash"),
    "empty": ({"status": 202}, "empty; a browser may be let through"),
    "refused": ({"status": 403}, "403 Client Error"),
    "missing": ({"status": 404}, "404 Client Error"),
    "broken": ({"status": 500, "body": b"sorry"}, "500 Server Error"),
    "slow": ({"body": CONTENT, "delay": 1.0}, "timed out"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_leaves_nothing_and_says_what_to_do(name, server, folder, monkeypatch):
    monkeypatch.setattr(_download, "_TIMEOUT", 0.2)
    answer, reason = BAD[name]
    server.answers["/file"] = answer
    with pytest.raises(ConnectionError, match=reason) as error:
        download("file", [f"{server.url}/file"], known_hash=HASH)
    assert left_in(folder) == []
    for needed in (f"{server.url}/file", str(folder / "file"), HASH, "by hand", "SKUAE_DATA"):
        assert needed in str(error.value)
    server.answers["/file"] = {"body": CONTENT}
    assert download("file", [f"{server.url}/file"], known_hash=HASH).read_bytes() == CONTENT


def test_offline(folder):
    with pytest.raises(ConnectionError, match="could not get file"):
        download("file", ["http://127.0.0.1:9/file"], known_hash=HASH)
    assert left_in(folder) == []
    folder.mkdir(exist_ok=True)
    (folder / "file").write_bytes(CONTENT)  # as the message says
    download("file", ["http://127.0.0.1:9/file"], known_hash=HASH)


def test_an_interrupted_download_leaves_nothing(server, folder, monkeypatch):
    server.answers["/file"] = {"body": CONTENT}

    class Interrupted(pooch.HTTPDownloader):
        def __call__(self, url, output_file, pooch):
            super().__call__(url, output_file, pooch)
            raise KeyboardInterrupt

    monkeypatch.setattr(pooch, "HTTPDownloader", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        download("file", [f"{server.url}/file"], known_hash=HASH)
    assert left_in(folder) == []


def test_the_next_address_is_tried(server, folder):
    server.answers["/second"] = {"body": CONTENT}
    urls = [f"{server.url}/first", f"{server.url}/second"]
    assert download("file", urls, known_hash=HASH).read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["/first", "/second"]


def test_a_damaged_file_is_replaced_or_named(server, folder):
    folder.mkdir()
    (folder / "file").write_bytes(CONTENT[:-1])
    with pytest.raises(ConnectionError, match="that was there is not the published one"):
        download("file", [f"{server.url}/file"], known_hash=HASH)
    server.answers["/file"] = {"body": CONTENT}
    assert download("file", [f"{server.url}/file"], known_hash=HASH).read_bytes() == CONTENT


@pytest.mark.parametrize("bad", BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_zip_files_without_a_known_hash(bad, server, folder):
    server.answers["/file"] = {"body": bad}
    with pytest.raises(ConnectionError, match="ZIP file"):
        download("file.zip", [f"{server.url}/file"])
    assert left_in(folder) == []
    (folder / "file.zip").write_bytes(bad)  # by hand
    server.answers["/second"] = {"body": zipped()}
    urls = [f"{server.url}/file", f"{server.url}/second"]
    assert download("file.zip", urls).read_bytes() == zipped()
    server.answers.clear()
    assert download("file.zip", urls).read_bytes() == zipped()


def test_only_a_bar_is_shown_and_only_when_asked_for(server, folder, caplog, capfd):
    server.answers["/file"] = {"body": zipped()}
    logger = pooch.get_logger()
    logger.addHandler(caplog.handler)
    try:
        for verbose in (0, 1):
            download("file.zip", [f"{server.url}/file"], verbose=verbose).unlink()
            assert not caplog.records and ("100%" in capfd.readouterr().err) == bool(verbose)
        logger.info("to others pooch speaks as before")
        assert len(caplog.records) == 1
    finally:
        logger.removeHandler(caplog.handler)


def test_a_folder_that_cannot_be_made_names_the_variable(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SKUAE_DATA", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"downloads cannot be kept in .*SKUAE_DATA names another"):
        download("name", ["http://localhost:9"], known_hash=HASH)


def test_a_folder_that_cannot_be_written_names_the_variable(monkeypatch, folder):
    def refuse(*args, **kwargs):
        raise PermissionError("read-only")

    monkeypatch.setattr("pooch.retrieve", refuse)
    with pytest.raises(OSError, match=r"read-only.*SKUAE_DATA names another"):
        download("name", ["http://localhost:9"], known_hash=HASH)


def test_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SKUAE_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("SKUAE_DATA", "~/skuae")
    assert data_folder().is_absolute()
    monkeypatch.delenv("SKUAE_DATA")
    assert data_folder().name == "skuae" or "skuae" in data_folder().parts


@pytest.fixture
def toy():
    """Crystals and labels to be kept, the function that makes them, and how often it was called."""
    s = make_toy_crystals(n_samples=3, random_state=0).structures
    structures = Crystals(s.numbers, s.frac_coords, s.lattices, s.offsets, ids=["a", "001", "a"])
    labels = pd.DataFrame(
        {
            "x": [0.1 + 0.2, np.nan, 1e-17],
            "count": [1, -2, 2**60 + 1],
            "code": ["000", "001", "010"],
            "formula": ["NaN", np.nan, "NA"],
            "metal": [True, False, True],
            "stable": [True, np.nan, False],
            "text of numbers": ["1.50", "", "1e5"],
            "mixed": [1, "1", 1.0],
        },
        index=pd.Index(structures.ids.tolist(), name="id"),
    )
    made = []

    def make():
        made.append(1)
        return structures, labels

    return structures, labels, make, made


def test_what_was_made_is_kept(toy, folder):
    structures, labels, make, made = toy
    for _ in range(2):
        found, kept = keep("toy", make)
        np.testing.assert_array_equal(found.frac_coords, structures.frac_coords)
        pd.testing.assert_frame_equal(kept, labels, check_exact=True)
        for name in labels:
            assert [*map(type, kept[name].tolist())] == [*map(type, labels[name].tolist())]
    assert made == [1]


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".npz", lambda whole: whole[:-20]),
        (".json.gz", lambda whole: whole[:-20]),
        (".json.gz", lambda whole: b""),
        (".json.gz", lambda whole: flipped(whole, len(whole) // 2)),
    ],
)
def test_what_was_kept_and_is_damaged_is_made_anew(suffix, damage, toy, folder):
    structures, labels, make, made = toy
    keep("toy", make)
    (path,) = folder.glob(f"*{suffix}")
    path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        found, kept = keep("toy", make)
        assert found.ids.tolist() == structures.ids.tolist() and kept.equals(labels)
    assert made == [1, 1]


def test_what_was_kept_of_two_calls_is_made_anew(toy, folder):
    structures, labels, make, made = toy
    keep("toy", make)
    keep("part", lambda: (structures[:2], labels[:2]))
    (path,), (part,) = folder.glob("toy*.npz"), folder.glob("part*.npz")
    part.replace(path)
    found, kept = keep("toy", make)
    assert len(found) == len(kept) == 3 and made == [1, 1]


def test_labels_of_another_set_with_the_same_ids_are_made_anew(toy, folder):
    structures, labels, make, made = toy
    keep("toy", make)
    keep("swapped", lambda: (Crystals(
        structures.numbers, structures.frac_coords / 2, structures.lattices, structures.offsets,
        ids=structures.ids), labels))  # fmt: skip
    (path,), (other,) = folder.glob("toy*.json.gz"), folder.glob("swapped*.json.gz")
    other.replace(path)
    _, kept = keep("toy", make)
    assert kept.equals(labels) and made == [1, 1]


@pytest.mark.parametrize(
    "content",
    [
        {"ids": ["a", "001", "a"]},
        {"ids": ["a", "001"], "columns": []},
        {"ids": 3, "columns": []},
        {"ids": ["a", "001", "a"], "columns": [["x", "float64", [1]]]},
        {"ids": ["a", "001", "a"], "columns": [["x", "no dtype", [1, 2, 3]]]},
        {"ids": ["a", "001", "a"], "columns": {"x": 1}},
        ["a", "001", "a"],
        3,
        None,
    ],
)
def test_labels_of_another_shape_are_made_anew(content, toy, folder):
    """Also with a right checksum, as another version may write it."""
    _, labels, make, made = toy
    keep("toy", make)
    (structures_path,), (path,) = folder.glob("*.npz"), folder.glob("*.json.gz")
    text = json.dumps(content)
    digest = _keep._digest(structures_path.read_bytes(), text)
    path.write_bytes(gzip.compress(f"{digest}\n{text}".encode()))
    _, kept = keep("toy", make)
    assert kept.equals(labels) and made == [1, 1]


def test_structures_without_ids_are_made_anew(toy, folder):
    structures, _, make, made = toy
    keep("toy", make)
    (path,), (labels_path,) = folder.glob("*.npz"), folder.glob("*.json.gz")
    Crystals(
        structures.numbers, structures.frac_coords, structures.lattices, structures.offsets
    ).save(path)
    _, text = gzip.decompress(labels_path.read_bytes()).decode().split("\n", 1)
    digest = _keep._digest(path.read_bytes(), text)
    labels_path.write_bytes(gzip.compress(f"{digest}\n{text}".encode()))
    found, _ = keep("toy", make)
    assert found.ids is not None and made == [1, 1]


def test_where_nothing_can_be_kept_it_is_made_every_time(toy, folder, monkeypatch):
    structures, labels, make, made = toy

    def refuse(*args, **kwargs):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr("os.open", refuse)
    for n in (1, 2):
        with pytest.warns(UserWarning, match=r"toy was converted.*read-only.*SKUAE_DATA names"):
            found, kept = keep("toy", make)
        assert found is structures and kept is labels and len(made) == n


def test_a_damaged_file_in_a_folder_that_is_read_only_is_named(server, folder, monkeypatch):
    folder.mkdir()
    (folder / "file.zip").write_bytes(b"no ZIP file")

    def refuse(path):
        raise PermissionError(f"{path} is read-only")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(OSError, match=r"file\.zip is read-only.*SKUAE_DATA names another"):
        download("file.zip", [f"{server.url}/file"])
