import gzip
import json
from urllib.parse import parse_qs

import numpy as np
import pymatgen.ext.matproj
import pytest

from skuae.datasets import _materials_project, fetch_mp, make_toy_crystals

KEY = "k" * 32
N = 25
PATH = "/materials/summary/"


@pytest.fixture
def project(server, folder, monkeypatch):
    """A Materials Project of 25 crystals, asked for ten at a time."""
    structures = make_toy_crystals(n_samples=N, random_state=0).structures
    documents = {
        f"mp-{i}": {
            "material_id": f"mp-{i}",
            "structure": structure.as_dict(),
            "formation_energy_per_atom": -0.1 * i,
            "band_gap": None if i == 3 else 0.5 * i,
            "is_stable": None if i == 3 else i % 2 == 0,
            "code": f"{i:03d}",
            "energy_above_hull": None,
            "energy_per_atom": -1.0,
            "total_magnetization": 0.0,
            "symmetry": {"number": 225},
        }
        for i, structure in enumerate(structures)
    }

    def answer(query, headers):
        query = {key: value[0] for key, value in parse_qs(query).items()}
        if headers["x-api-key"] != KEY:
            return {"status": 403, "body": b'{"message": "Forbidden"}'}
        if "nonsense" in query:
            return {"status": 400, "body": b'{"detail": "unknown filter nonsense"}'}
        ids = query["material_ids"].split(",") if "material_ids" in query else list(documents)
        if query.get("elements") == "Xe":
            ids = []
        start = (int(query["_page"]) - 1) * int(query["_per_page"])
        fields = query["_fields"].split(",")
        rows = [
            {key: value for key, value in documents[name].items() if key in fields}
            for name in ids[start : start + int(query["_per_page"])]
        ]
        return {"body": json.dumps({"data": rows}).encode()}

    server.answers[PATH] = answer
    monkeypatch.setitem(pymatgen.ext.matproj.SETTINGS, "PMG_MAPI_ENDPOINT", f"{server.url}/")
    monkeypatch.setattr(_materials_project, "_IDS_PER_PAGE", 10)
    monkeypatch.delenv("MP_API_KEY", raising=False)
    return server


def test_all_pages_once(project):
    fields = ("formation_energy_per_atom", "band_gap")
    data = fetch_mp(api_key=KEY, fields=fields)
    assert len(project.asked) == 1 + 3
    assert len(data.structures) == N and set(data.ids) == {f"mp-{i}" for i in range(N)}
    number = np.array([int(name.removeprefix("mp-")) for name in data.ids])
    np.testing.assert_allclose(data.target, -0.1 * number)
    assert data.labels.band_gap.isna().sum() == 1
    original = list(make_toy_crystals(n_samples=N, random_state=0).structures)
    for row in (0, N - 1):
        assert data.structures[row] == original[number[row]]
    for needed in ("25 crystals", "CC BY 4.0", "10.1063/1.4812323", "as of 20"):
        assert needed in data.DESCR
    assert KEY not in data.DESCR
    project.close()
    again = fetch_mp(fields=fields, target="band_gap", as_frame=True)  # no key, no network
    assert again.target.name == "band_gap" and list(again.ids) == list(data.ids)


def test_labels_keep_their_kinds(project):
    for _ in range(2):
        labels = fetch_mp(api_key=KEY, fields=["code", "is_stable"], target="code").labels
        assert labels.code.tolist() == [f"{int(name[3:]):03d}" for name in labels.index]
        assert np.isnan(labels.is_stable["mp-3"])
        assert set(map(type, labels.is_stable.drop("mp-3"))) == {bool}


def test_the_key_is_nowhere_in_the_folder(project, folder):
    fetch_mp(api_key=KEY, fields=["band_gap"], target="band_gap")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files and not any(KEY.encode() in path.read_bytes() for path in files)


def test_criteria_reach_the_server(project, monkeypatch):
    monkeypatch.setenv("MP_API_KEY", KEY)
    fetch_mp({"elements": ["Na", "Cl"], "is_stable": True, "nelements": 2}, fields=["band_gap"],
             target="band_gap")  # fmt: skip
    query = parse_qs(project.asked[0][0].partition("?")[2])
    assert (query["elements"], query["is_stable"], query["nelements"]) == (
        ["Na,Cl"], ["true"], ["2"],
    )  # fmt: skip
    assert query["_fields"] == ["material_id"]


def test_a_set_is_one_query_whatever_its_order(project):
    options = {"fields": ["band_gap"], "target": "band_gap", "api_key": KEY}
    fetch_mp({"elements": {"Na", "Cl", "K", "Br", "Cs"}}, **options)
    asked = len(project.asked)
    fetch_mp({"elements": frozenset(["Cs", "Br", "K", "Cl", "Na"])}, **options)
    fetch_mp({"elements": ["Br", "Cl", "Cs", "K", "Na"]}, **options)
    assert len(project.asked) == asked


def test_fields_that_are_no_labels_are_refused_at_the_first_page(project):
    with pytest.raises(ValueError, match="'symmetry' does not hold one number or text"):
        fetch_mp(fields=["symmetry"], target="symmetry", api_key=KEY)
    assert len(project.asked) == 1 + 1


def test_an_interrupted_call_goes_on(project, folder):
    whole = project.answers[PATH]
    asked = []

    def breaks(query, headers):
        asked.append(query)
        return {"status": 502} if len(asked) == 3 else whole(query, headers)

    project.answers[PATH] = breaks
    with pytest.raises(ConnectionError, match=r"status code 502.*call again to go on"):
        fetch_mp(api_key=KEY)
    names = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert names == ["ids.json", "page0000000.json.gz"]
    assert len(fetch_mp(api_key=KEY).structures) == N
    assert len(asked) == 3 + 2


def test_an_answer_cut_short_is_not_kept(project, folder):
    project.answers[PATH] = {"body": b'{"data": [{"material_id": "mp-1"', "length": 1000}
    with pytest.raises(ConnectionError, match="did not answer"):
        fetch_mp(api_key=KEY)
    assert not [path for path in folder.rglob("*") if path.is_file()]


def without(row, *keys):
    return {key: value for key, value in row.items() if key not in keys}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda rows: [row for row in rows if row["material_id"] != "mp-0"], "1 are .* mp-0"),
        (lambda rows: [*rows, rows[0]], "1 are .* mp-0"),
        (lambda rows: [*rows, {**rows[0], "material_id": "mp-007"}], "1 are .* mp-007"),
        (lambda rows: [without(rows[0], "material_id"), *rows[1:]], "2 are .* None"),
        (lambda rows: [without(rows[0], "structure"), *rows[1:]], "1 are .* mp-0"),
    ],
    ids=["gone", "repeated", "more", "nameless", "without structure"],
)
def test_other_crystals_than_asked_for_are_not_kept(spoil, reason, project, folder):
    whole = project.answers[PATH]

    def wrong(query, headers):
        rows = json.loads(whole(query, headers)["body"])["data"]
        rows = spoil(rows) if len(rows[0]) > 1 else rows  # the pages, not the list of ids
        return {"body": json.dumps({"data": rows}).encode()}

    project.answers[PATH] = wrong
    with pytest.raises(ConnectionError, match=f"each of 10 .*{reason}. Call again") as error:
        fetch_mp(api_key=KEY)
    assert f"delete {folder}" in str(error.value)
    project.answers[PATH] = whole
    assert len(set(fetch_mp(api_key=KEY).ids)) == N


def test_a_field_that_is_not_there_is_named(project):
    for _ in range(2):
        with pytest.raises(ValueError, match="Materials Project has no field 'band_gab'"):
            fetch_mp(fields=["band_gap", "band_gab"], target="band_gap", api_key=KEY)
    assert len(project.asked) == 1 + 2
    data = fetch_mp(fields=["energy_above_hull"], target="energy_above_hull", api_key=KEY)
    assert np.isnan(data.target).all()  # known to be unknown


def test_a_field_asked_for_twice_is_one_column(project):
    data = fetch_mp(fields=["band_gap", "code", "band_gap"], target="band_gap", api_key=KEY)
    assert list(data.labels) == ["band_gap", "code"] and data.target.shape == (N,)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[:-20],
        lambda whole: whole[:30] + bytes(10) + whole[40:],
        lambda whole: gzip.compress(b'[{"material_id": "mp-0"}]'),  # as was kept before
    ],
    ids=["cut", "flipped", "no structure"],
)
def test_a_page_that_cannot_be_read_is_named(spoil, project, folder):
    fetch_mp(api_key=KEY)
    page = next(folder.rglob("page0000010.json.gz"))
    page.write_bytes(spoil(page.read_bytes()))
    next(folder.rglob("all*.npz")).unlink()
    with pytest.raises(ValueError, match=r"cannot be read .*; delete it and call again") as error:
        fetch_mp(api_key=KEY)
    assert str(page) in str(error.value)
    page.unlink()
    assert len(fetch_mp(api_key=KEY).structures) == N


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "3", "null", "[1]", '["mp-1", "mp-0"]', '["a", "a"]', "[" * 50]
)
def test_ids_that_are_none_are_named(content, project, folder):
    fetch_mp(api_key=KEY)
    path = next(folder.rglob("ids.json"))
    path.write_text(content)
    next(folder.rglob("all*.npz")).unlink()
    with pytest.raises(ValueError, match=r"ids\.json cannot be read .*; delete it and call again"):
        fetch_mp(api_key=KEY)


def test_pages_of_other_ids_are_named(project, folder):
    fetch_mp(api_key=KEY)
    path = next(folder.rglob("ids.json"))
    path.write_text(json.dumps([*json.loads(path.read_text())[:-1], "mp-999"]))
    next(folder.rglob("all*.npz")).unlink()
    with pytest.raises(ValueError, match=r"have other ids than ids\.json there; delete the folder"):
        fetch_mp(api_key=KEY)


def test_a_folder_that_is_read_only_is_named(project, monkeypatch):
    def refuse(path, content):
        raise PermissionError(13, "read-only", str(path))

    monkeypatch.setattr(_materials_project, "write_bytes", refuse)
    with pytest.raises(OSError, match=r"cannot be kept in .*read-only.*SKUAE_DATA names another"):
        fetch_mp(api_key=KEY)


def test_errors(project, monkeypatch):
    with pytest.raises(ValueError, match=r"needs a key .* set the environment variable MP_API_KEY"):
        fetch_mp()
    with pytest.raises(ValueError, match="this is no key"):
        fetch_mp(api_key="short")
    with pytest.raises(ValueError, match=r"refused the key .*status code 403"):
        fetch_mp(api_key="x" * 32)
    with pytest.raises(ValueError, match=r"does not understand nonsense.*unknown filter"):
        fetch_mp({"nonsense": 1}, api_key=KEY)
    with pytest.raises(ValueError, match=r"nothing that meets criteria=.*Xe"):
        fetch_mp({"elements": ["Xe"]}, api_key=KEY)
    with pytest.raises(ValueError, match="target='gap' must be one or several of"):
        fetch_mp(target="gap", api_key=KEY)
    with pytest.raises(TypeError, match=r"criteria='TiO2' must be a dict .* \{'formula': 'TiO2'"):
        fetch_mp("TiO2", api_key=KEY)
    project.close()
    with pytest.raises(ConnectionError, match="did not answer"):
        fetch_mp({"elements": ["Na"]}, api_key=KEY)
