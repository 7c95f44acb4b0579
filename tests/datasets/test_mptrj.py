"""MPtrj, from a small file of the same layout on a server of this machine."""

import hashlib
import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skuae import _download
from skuae.datasets import _mptrj, fetch_mptrj
from skuae.potentials import CHGNet, CrystalPotential

NAME = "MPtrj_2022.9_full.json"


def record(symbols, energy, seed, magmom=None):
    """Return a frame as it is published."""
    rng = np.random.default_rng(seed)
    structure = Structure(Lattice.cubic(4.0), symbols, [[0.0] * 3, [0.4, 0.5, 0.6]])
    for site in structure:
        site.properties["magmom"] = 0.5
    stress = rng.standard_normal((3, 3))
    return {
        "structure": structure.as_dict(),
        "uncorrected_total_energy": 2 * energy + 0.7,
        "corrected_total_energy": 2 * energy,
        "energy_per_atom": energy,
        "ef_per_atom": -0.1,
        "e_per_atom_relaxed": energy,
        "ef_per_atom_relaxed": -0.1,
        "force": rng.standard_normal((2, 3)).tolist(),
        "stress": (stress + stress.T).tolist(),
        "magmom": magmom,
        "bandgap": 0.5,
    }


def small():
    """Return three materials: of five frames, of two and of one."""
    energies = [-3.0, -3.5, -3.2, -3.4, -3.1]
    return {
        "mp-1": {f"mp-1-0-{i}": record(["Li", "O"], e, i) for i, e in enumerate(energies)},
        "mp-2": {f"mp-7-1-{i}": record(["Mn", "O"], -7.0, 9 + i, [3.5, -0.1]) for i in range(2)},
        "mp-3": {"mp-3-0-0": record(["Li", "Li"], -1.9, 20)},
    }


@pytest.fixture
def put(server, folder, monkeypatch):
    """Put up materials in place of the published ones."""

    def up(content, cut=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        body = body[:cut]
        server.answers["/41619375"] = {"body": body}
        monkeypatch.setattr(_mptrj, "_HASH", f"md5:{hashlib.md5(body).hexdigest()}")
        return body

    monkeypatch.setattr(_mptrj, "_URLS", (f"{server.url}/gone", f"{server.url}/41619375"))
    return up


def test_labels_are_those_of_potentials(put, server):
    published = small()
    put(published)
    for _ in range(2):
        data = fetch_mptrj()
        assert data.ids.tolist() == [frame for frames in published.values() for frame in frames]
        assert data.labels["material_id"].tolist() == ["mp-1"] * 5 + ["mp-2"] * 2 + ["mp-3"]
        assert list(data.target) == data.target_names == ["energy", "forces", "stress", "magmoms"]
        records = [one for frames in published.values() for one in frames.values()]
        for i, one in enumerate(records):
            expected = Structure.from_dict(one["structure"]).remove_site_property("magmom")
            assert data.structures[i] == expected
            row = data.target.iloc[i]
            assert row["energy"] == 2 * one["energy_per_atom"]
            np.testing.assert_array_equal(row["forces"], one["force"])
            np.testing.assert_allclose(row["stress"], -np.array(one["stress"]) / 10)
        assert np.isnan(data.target["magmoms"].iloc[0]).all()
        np.testing.assert_array_equal(data.target["magmoms"].iloc[5], [3.5, -0.1])
        assert "8 frames of 3 materials" in data.DESCR and data.citation in data.DESCR
        server.close()  # what follows has no network
    assert "mp-1-0-4" in data._repr_html_()
    X, y = fetch_mptrj(return_X_y=True)
    network = CHGNet(dim=8, n_blocks=2, n_radial=5, n_angular=5)
    fitted = CrystalPotential(network, max_epochs=1, device="cpu", random_state=0).fit(X, y)
    assert np.isfinite(fitted.evaluate(X, y).loc["model"]).all()


def test_energies_of_vasp(put):
    put(small())
    found = fetch_mptrj(corrected=False).target["energy"]
    assert found.iloc[0] == pytest.approx(-6.0 + 0.7)


def test_unknown_labels_are_nan(put):
    published = small()
    first, second = published["mp-2"].values()
    del first["stress"], first["force"], first["magmom"]
    second["energy_per_atom"], second["magmom"] = None, [3.0, None]
    put(published)
    target = fetch_mptrj().target.iloc[5:7]
    for name, shape in (("stress", (3, 3)), ("forces", (2, 3)), ("magmoms", (2,))):
        np.testing.assert_array_equal(target[name].iloc[0], np.full(shape, np.nan))
    assert np.isnan(target["energy"].iloc[1])
    np.testing.assert_array_equal(target["magmoms"].iloc[1], [3.0, np.nan])


def test_frames_are_spaced_by_energy(put):
    put(small())
    lowest = fetch_mptrj(n_frames=1)
    assert lowest.ids.tolist() == ["mp-1-0-1", "mp-7-1-0", "mp-3-0-0"]
    # of -3.5, -3.4, -3.2, -3.1, -3.0: the first, the third and the fifth, in the order of the file
    three = fetch_mptrj(elements=["Li", "O"], n_frames=3)
    assert three.ids.tolist() == ["mp-1-0-0", "mp-1-0-1", "mp-1-0-2", "mp-3-0-0"]


def test_materials_are_chosen_by_elements_and_at_random(put):
    put(small())
    assert {*fetch_mptrj(elements=["Li"]).labels["material_id"]} == {"mp-3"}
    with pytest.raises(ValueError, match=r"no material in .* meets the conditions"):
        fetch_mptrj(elements=["Fe"])
    chosen = [{*fetch_mptrj(n_materials=n).labels["material_id"]} for n in (1, 2, 3, 4)]
    assert [len(some) for some in chosen] == [1, 2, 3, 3]
    assert chosen[0] < chosen[1] < chosen[2]
    oxides = [fetch_mptrj(n_materials=1, elements=[e, "O"]).ids[0] for e in ("Mn", "Li")]
    assert oxides[0] == "mp-7-1-0" and oxides[1] in ("mp-1-0-0", "mp-3-0-0")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r["force"].pop(), r"force has shape \(1, 3\), expected \(2, 3\)"),
        (lambda r: r.update(stress=[1.0] * 6), r"stress has shape \(6,\), expected \(3, 3\)"),
        (lambda r: r.update(energy_per_atom="low"), "could not convert string"),
        (lambda r: r.pop("structure"), "KeyError: 'structure'"),
        (lambda r: r["structure"]["lattice"].update(matrix=[[0.0] * 3] * 3), "lattice"),
        (lambda r: r["structure"]["sites"][0]["species"][0].update(occu=0.5), "disordered"),
    ],
)
def test_a_wrong_record_is_named(change, reason, put):
    published = small()
    change(published["mp-2"]["mp-7-1-1"])
    put(published)
    with pytest.raises(ValueError, match=f"material mp-2, frame mp-7-1-1: .*{reason}"):
        fetch_mptrj()
    for _ in range(2):
        with pytest.warns(UserWarning, match="1 records were left out, .*mp-7-1-1"):
            data = fetch_mptrj(on_error="skip")
        assert len(data.ids) == 7 and "mp-7-1-1" not in data.ids


@pytest.mark.parametrize("other", [["gone"], {"mp-1": 17}, {"mp-1": {"mp-1-0-0": None}}])
def test_another_file_is_named(other, put):
    put(other)
    with pytest.raises(ValueError, match=f"{NAME}.*(is not what was published|material mp-1)"):
        fetch_mptrj()


def test_a_file_that_is_cut_short_says_where(put):
    put(small(), cut=-200)
    with pytest.raises(ValueError, match="behind mp-2: no JSON, or cut short"):
        fetch_mptrj()


def test_a_transfer_that_breaks_off_goes_on(put, server, folder, monkeypatch):
    monkeypatch.setattr(_download, "_CHUNK", 64)
    body = put(small())
    half = len(body) // 128 * 64
    server.answers["/41619375"] = {"body": body[:half], "length": len(body)}
    with pytest.raises(ConnectionError, match="Call again to go on where it stopped"):
        fetch_mptrj()
    assert (folder / f"{NAME}.part").read_bytes() == body[:half]

    def rest(query, headers):
        assert headers["Range"] == f"bytes={half}-"
        return {"status": 206, "body": body[half:]}

    server.answers["/41619375"] = rest
    assert len(fetch_mptrj().ids) == 8
    assert (folder / NAME).read_bytes() == body and not (folder / f"{NAME}.part").exists()


def test_a_server_that_gives_no_parts_begins_anew(put, server, folder):
    body = put(small())
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(b"something")
    assert len(fetch_mptrj().ids) == 8
    assert (folder / NAME).read_bytes() == body


@pytest.mark.parametrize("part", [b"another file", b"x" * 100_000])
def test_a_part_that_does_not_fit_is_dropped(part, put, server, folder):
    body = put(small())
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(part)

    def rest(query, headers):
        if "Range" not in headers:
            return {"body": body}
        start = int(headers["Range"][6:-1])
        return {"status": 206, "body": body[start:]} if start < len(body) else {"status": 416}

    server.answers["/41619375"] = rest
    with pytest.raises(ConnectionError, match="does not match the known hash"):
        fetch_mptrj()
    assert not (folder / f"{NAME}.part").exists()
    assert len(fetch_mptrj().ids) == 8


def test_without_network(server, folder, monkeypatch):
    monkeypatch.setattr(_mptrj, "_URLS", (f"{server.url}/41619375",))
    server.close()
    with pytest.raises(ConnectionError, match=r"could not get MPtrj(.|\n)*md5:50ead5f2"):
        fetch_mptrj()


def test_what_was_kept_and_is_damaged_is_made_anew(put, folder):
    put(small())
    fetch_mptrj(n_frames=1)
    (kept,) = folder.glob("mptrj_*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-10])
    assert len(fetch_mptrj(n_frames=1).ids) == 3


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"n_frames": 0}, "n_frames=0 must be an integer above 0"),
        ({"n_materials": 2.5}, "n_materials=2.5 must be an integer"),
        ({"elements": ["Xx"]}, "Xx"),
        ({"on_error": "warn"}, "on_error"),
    ],
)
def test_parameters(params, reason, folder):
    with pytest.raises(ValueError, match=reason):
        fetch_mptrj(**params)
