"""Files are written all or nothing, and read only if they are what was written."""

import json
import os
import pickle
import stat
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from skuae import _files
from skuae._files import checked_content, read_safetensors, write_bytes, write_safetensors

FORMAT = "skuae-test-1"


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)
    return {
        "a": rng.normal(size=(3, 4)),
        "b": np.arange(5, dtype=np.int64),
        "mask": np.array([True, False]),
        "small": rng.normal(size=2).astype(np.float32),
        "number": np.array(3.5),
        "nothing": np.empty((0, 3)),
        "nan": np.array([np.nan, np.inf]),
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


CARDS = [
    {},
    {"name": "Ångström", "n": 3, "x": 0.1, "list": [1, None, True], "nested": {"b": 1, "a": 2}},
    {"text": 'quotes " and \\ and \n', "nan": float("nan")},
]


@pytest.mark.parametrize("card", CARDS, ids=len)
def test_round_trip(path, tensors, card):
    write_safetensors(path, tensors, card, format=FORMAT)
    read, card_read = read_safetensors(path, format=FORMAT)
    assert read.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
    assert str(card_read) == str(card)
    assert [p.name for p in path.parent.iterdir()] == ["file.safetensors"]


def test_card_is_read_as_json_has_it(path):
    """Keys that are numbers become strings, tuples lists; the checksum still matches."""
    card = {"years": {2: "a", 10: "b"}, "shape": (1, 2)}
    write_safetensors(path, {}, card, format=FORMAT)
    assert read_safetensors(path, format=FORMAT)[1] == {
        "years": {"2": "a", "10": "b"},
        "shape": [1, 2],
    }


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12.0)[::2],
        np.broadcast_to(np.arange(3.0), (2, 3)),
        np.arange(3.0).astype(">f8"),
    ],
    ids=["Fortran", "transposed", "strided", "broadcast", "big-endian"],
)
def test_arrays_of_any_memory_order(path, array):
    write_safetensors(path, {"a": array}, {}, format=FORMAT)
    np.testing.assert_array_equal(read_safetensors(path, format=FORMAT)[0]["a"], array)


def test_equal_content_gives_equal_files(tmp_path, tensors):
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    write_safetensors(first, tensors, CARDS[1], format=FORMAT)
    write_safetensors(second, dict(reversed(tensors.items())), CARDS[1], format=FORMAT)
    assert first.read_bytes() == second.read_bytes()


def test_name_of_the_file(tmp_path):
    for name in ("a.pt", "safetensors", "a.safetensors.bak"):
        with pytest.raises(ValueError, match=r"name the file \*\.safetensors"):
            write_safetensors(tmp_path / name, {}, {}, format=FORMAT)
    assert list(tmp_path.iterdir()) == []


def test_card_that_is_not_json(path, tensors):
    with pytest.raises(TypeError, match=r"must fit into JSON: Object of type ndarray"):
        write_safetensors(path, tensors, {"x": np.zeros(2)}, format=FORMAT)
    assert not path.exists()


def test_missing_file(path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*file\.safetensors"):
        read_safetensors(path, format=FORMAT)
    with pytest.raises(FileNotFoundError):
        read_safetensors(path.parent, format=FORMAT)


def test_every_single_damaged_byte_is_noticed(path):
    write_safetensors(path, {"a": np.arange(3.0)}, {"name": "x"}, format=FORMAT)
    content = path.read_bytes()
    harmless = 0
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        try:
            tensors, card = read_safetensors(path, format=FORMAT)
        except ValueError:
            continue
        # JSON may say the same in other bytes
        assert card == {"name": "x"}
        assert tensors["a"].tolist() == [0, 1, 2]
        harmless += 1
    assert harmless < 5


@pytest.mark.parametrize("length", [0, 4, 60, -1])
def test_truncated_file(path, tensors, length):
    write_safetensors(path, tensors, {}, format=FORMAT)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"is damaged, or was not written by skuae; copy it again"):
        read_safetensors(path, format=FORMAT)


def test_foreign_files(path, tensors):
    save_file(tensors, path)
    with pytest.raises(ValueError, match="is damaged, or was not written by skuae; copy it again"):
        read_safetensors(path, format=FORMAT)
    save_file(tensors, path, metadata={"skuae": "no json"})
    with pytest.raises(ValueError, match="is damaged, or was not written by skuae; copy it again"):
        read_safetensors(path, format=FORMAT)
    save_file(tensors, path, metadata={"skuae": json.dumps({"format": FORMAT})})
    with pytest.raises(ValueError, match="is damaged, or was not written by skuae; copy it again"):
        read_safetensors(path, format=FORMAT)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="is damaged, or was not written by skuae; copy it again"):
        read_safetensors(path, format=FORMAT)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize(
    ("found", "why"),
    [("skuae-test-2", "another version"), ("skuae-tests-1", "another kind of thing")],
)
def test_other_format(path, tensors, found, why):
    write_safetensors(path, tensors, {}, format=found)
    with pytest.raises(ValueError, match=f"has format '{found}', expected 'skuae-test-1': .*{why}"):
        read_safetensors(path, format=FORMAT)


@pytest.mark.parametrize("what", ["value", "name", "shape", "card"])
def test_changed_file(path, what):
    """A file that is whole, but whose content is not what was written."""
    write_safetensors(path, {"a": np.arange(6.0)}, {"seen": 5}, format=FORMAT)
    header_size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + header_size])
    card = json.loads(header["__metadata__"]["skuae"])
    arrays = {
        "value": {"a": np.array([0, 1, 2, 3, 4, 6.0])},
        "name": {"b": np.arange(6.0)},
        "shape": {"a": np.arange(6.0).reshape(2, 3)},
        "card": {"a": np.arange(6.0)},
    }[what]
    save_file(arrays, path, metadata={"skuae": json.dumps(card)})
    if what == "card":
        read_safetensors(path, format=FORMAT)  # as it was
        save_file(arrays, path, metadata={"skuae": json.dumps({**card, "seen": 6})})
    with pytest.raises(ValueError, match="was changed since it was written: its checksum"):
        read_safetensors(path, format=FORMAT)


# -- all or nothing --------------------------------------------------------------------------------


def test_write_bytes_replaces(tmp_path):
    path = tmp_path / "a"
    write_bytes(path, b"old")
    write_bytes(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("step", ["os.replace", "os.fsync", "os.open"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "a"
    write_bytes(path, b"old")

    def full(*args, **kwargs):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(step, full)
        with pytest.raises(OSError, match="disk full; the file was not written") as caught:
            write_bytes(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_file_appears_when_it_is_whole(tmp_path, monkeypatch):
    seen = []

    def replace(source, target):
        seen.append((target.exists(), source.read_bytes(), source.parent == target.parent))

    monkeypatch.setattr("os.replace", replace)
    write_bytes(tmp_path / "a", b"content")
    assert seen == [(False, b"content", True)]  # renamed within a folder, so never copied


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_bytes(tmp_path / "nowhere" / "a", b"")
    assert caught.value.filename == str(tmp_path / "nowhere" / "a")


def test_content_is_on_the_disk_before_it_replaces_the_old(tmp_path, monkeypatch):
    steps = []
    for step in ("fsync", "replace"):
        call = getattr(os, step)
        monkeypatch.setattr(os, step, lambda *a, c=call, s=step: (steps.append(s), c(*a)))
    write_bytes(tmp_path / "a", b"content")
    assert steps == ["fsync", "replace"]


@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files")
def test_a_full_disk_is_named_with_the_file(tmp_path):
    import resource

    path = tmp_path / "a"
    write_bytes(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large; the file was not written") as caught:
            write_bytes(path, bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="other access rights")
def test_access_rights_are_kept(tmp_path):
    path = tmp_path / "a"
    write_bytes(path, b"old")
    (tmp_path / "b").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "b").stat().st_mode  # as any new file
    for mode in (0o600, 0o664):
        path.chmod(mode)
        write_bytes(path, b"new")
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_protected_file_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_bytes(path, b"old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write to all files
    with pytest.raises(PermissionError, match="write-protected"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.fixture
def link(tmp_path):
    def make(target, name="link"):
        path = tmp_path / name
        try:
            path.symlink_to(target)
        except OSError:
            pytest.skip("no links on this system")
        return path

    return make


def test_a_link_is_followed(tmp_path, link):
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "a"
    for content in (b"first", b"second"):  # the target need not be there
        write_bytes(link(path, content.decode()), content)
        assert path.read_bytes() == content
        assert (tmp_path / content.decode()).is_symlink()
    assert [p.name for p in path.parent.iterdir()] == ["a"]


def test_a_link_to_itself_is_refused(tmp_path, link):
    path = link(tmp_path / "link")
    with pytest.raises(OSError, match="leads back to itself"):
        write_bytes(path, b"")
    assert path.is_symlink()


def test_only_files_are_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="a folder or a device, not a file"):
        write_bytes(tmp_path / "folder", b"")
    assert (tmp_path / "folder").is_dir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_pipes_are_neither_replaced_nor_waited_for(tmp_path):
    path = tmp_path / "pipe.safetensors"
    os.mkfifo(path)
    with pytest.raises(OSError, match="a folder or a device, not a file"):
        write_bytes(path, b"")
    with pytest.raises(FileNotFoundError, match=r"pipe\.safetensors"):
        read_safetensors(path, format=FORMAT)


@pytest.mark.skipif(os.name == "nt", reason="files are swept after a day")
def test_what_killed_writers_left_is_swept(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    dead = int(done.stdout)
    names = {
        "dead": f"{_files._OURS}-{dead}-0123456789ab.tmp",
        "alive": f"{_files._OURS}-{os.getpid()}-0123456789ab.tmp",
        "elsewhere": f"skuae-00000000-{dead}-0123456789ab.tmp",
        "elsewhere_old": f"skuae-00000001-{dead}-0123456789ab.tmp",
        "of_the_user": f"skuae-{dead}.tmp",
    }
    for name in names.values():
        (tmp_path / name).write_bytes(b"half")
    os.utime(tmp_path / names["elsewhere_old"], (0, 0))
    write_bytes(tmp_path / "a", b"")
    left = {"a", names["alive"], names["elsewhere"], names["of_the_user"]}
    assert {p.name for p in tmp_path.iterdir()} == left


def test_a_folder_is_no_file(tmp_path):
    assert _files.make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "a.cif").write_text("")
    for path in (tmp_path / "a.cif", tmp_path / "a.cif" / "b"):
        with pytest.raises(OSError, match=r"there is a file of that name, .*: '.*a\.cif"):
            _files.make_folder(path)


def test_an_address_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="hf://owner/name is an address; give the path of a fold"):
        _files.make_folder("hf://owner/name")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["[1, 2]", "3", '"a"', "null", "[" * 100_000, "9" * 5000, ""])
def test_metadata_that_is_no_card(path, text):
    path.write_bytes(save({"a": np.zeros(2)}, metadata={"skuae": text}))
    with pytest.raises(ValueError, match=r"is damaged, or was not written by skuae; copy it again"):
        read_safetensors(path, format=FORMAT)


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("x"), ValueError("x" * 10_000)])
def test_content_that_makes_no_sense_is_named_with_the_file(error):
    with pytest.raises(ValueError, match="a/b does not hold a cat that this version") as caught:
        with checked_content("a/b", "a cat"):
            raise error
    assert len(str(caught.value)) < 700
