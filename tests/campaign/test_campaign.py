"""Small campaigns, and faults planted to see that campaigns find them."""

import sys

import numpy as np
import pytest

from campaign import cif, doors, kinds, planted, report, worker
from campaign.case import Case, Outcome, judge
from campaign.run import OTHERS, SIZES, run
from campaign.use import check_atoms
from skuae import as_crystals

SEED = 1


@pytest.mark.parametrize("name", [*kinds.KINDS, *OTHERS])
def test_nothing_goes_wrong(name):
    outcomes = list(run(name, SEED, SIZES["small"]))
    assert outcomes
    assert not report.faults(outcomes), f"\n{report.faults(outcomes)}"


def test_a_seed_gives_the_same_inputs():
    for kind, make in kinds.KINDS.items():
        one, other, third = (worker.build(kind, make, seed, 5) for seed in (1, 1, 2))
        assert (one.mutations, one.files, one.verdict) == (
            other.mutations,
            other.files,
            other.verdict,
        )
        assert one.files != third.files


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_input_can_be_made(kind):
    cases = [worker.build(kind, kinds.KINDS[kind], SEED, index) for index in range(150)]
    assert len({case.mutations for case in cases}) > 20
    assert {case.verdict for case in cases} <= {"read", "either", "refuse"}


# -- planted faults -------------------------------------------------------------------------------


def a_case(rng=0, verdict="read"):
    """Return a valid CIF file that must be read."""
    whole = cif.Cif.of(cif.draw(np.random.default_rng(rng)))
    check = doors.enter(cif.FILE, whole.atoms(), np.random.default_rng(rng))
    return Case(("none",), {cif.FILE: whole.text().encode()}, verdict, check, (cif.FILE,))


def judged(case, folder):
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    return judge(case, folder)


@pytest.mark.parametrize("rng", range(5))
def test_valid_files_are_no_faults(rng, tmp_path):
    outcome = judged(a_case(rng), tmp_path)
    assert outcome.end == "read", outcome


def test_a_reader_that_drops_an_atom_is_found(tmp_path, monkeypatch):
    case = a_case()
    door = dict(doors.DOORS)

    def dropping(path):
        structure = door["as_crystals"](path)[0]
        structure.append("He", [0.11, 0.07, 0.05])
        return as_crystals([structure])

    for name in door:
        monkeypatch.setitem(doors.DOORS, name, dropping)
    dropped = a_case()
    assert judged(case, tmp_path).end == "read"  # its door was chosen before
    assert judged(dropped, tmp_path).fault == "atoms"


def test_what_must_be_refused_and_is_read_is_found(tmp_path):
    assert judged(a_case(verdict="refuse"), tmp_path).fault == "accepted"


ERRORS = {
    "refused": ValueError("a.cif: no"),
    "unnamed": ValueError("no"),
    "wrong error": KeyError("a.cif"),
    "memory": MemoryError("a.cif"),
}


@pytest.mark.parametrize("fault", ERRORS)
def test_errors_are_told_apart(fault, tmp_path):
    def check(folder):
        raise ERRORS[fault]

    outcome = judge(Case((), {}, "read", check, ("a.cif",)), tmp_path)
    assert (outcome.end, outcome.fault) == ("fault", fault)
    allowed = judge(Case((), {}, "either", check, ("a.cif",)), tmp_path)
    assert allowed.end == ("refused" if fault == "refused" else "fault")


def test_wrong_counts_are_found():
    crystals = as_crystals([{"lattice": {"matrix": (4 * np.eye(3)).tolist()}, "sites": [
        {"species": [{"element": "Na", "occu": 0.5}], "abc": [0, 0, 0]}]}])  # fmt: skip
    check_atoms(crystals, 0, {"Na": 0.5})
    for wrong in ({"Na": 1.0}, {"Na": 0.5, "Cl": 1.0}, {}):
        with pytest.raises(Exception, match="atoms"):
            check_atoms(crystals, 0, wrong)


@pytest.mark.parametrize("fault", planted.PLANTED)
def test_what_happens_to_workers_is_found(fault, monkeypatch):
    if fault == "memory" and not sys.platform.startswith("linux"):
        pytest.skip("memory is limited on Linux alone")
    monkeypatch.setattr(worker, "SECONDS", 1 if fault == "hang" else 60)
    monkeypatch.setattr(worker, "_PATIENCE", 1.0 if fault == "sleep" else 600.0)
    with worker.Supervisor("planted", planted.MAKE[fault]) as supervisor:
        for index in range(2):  # the second by another worker, if the first died
            outcome = supervisor.try_input(0, index)
            assert outcome.fault == {"sleep": "hang"}.get(fault, fault), outcome
            assert outcome.mutations == (fault,) and outcome.where["index"] == index


def test_faults_are_gathered_by_what_they_share():
    def fault(*mutations):
        return Outcome("fault", "atoms", "", mutations, {"kind": "CIF", "seed": 1, "index": 2})

    outcomes = [fault("a", "c"), fault("a", "b"), fault("a"), fault("d"), Outcome("read")]
    groups = report.grouped(outcomes)
    assert {name: len(group) for (_, _, name), group in groups.items()} == {"a": 3, "d": 1}
    assert groups["CIF", "atoms", "a"][0].mutations == ("a",)
    assert "--kind 'CIF' --seed 1 --index 2" in report.faults(outcomes)


def test_the_smallest_input_is_kept(tmp_path):
    outcomes = [
        Outcome("fault", "atoms", "x", ("a",), {"kind": "CIF", "seed": 1, "index": index})
        for index in range(5)
    ]
    report.keep_smallest(outcomes, tmp_path)
    (folder,) = tmp_path.iterdir()
    cases = [worker.build("CIF", kinds.KINDS["CIF"], 1, index) for index in range(5)]
    smallest = min(cases, key=lambda case: (len(case.mutations), len(case.files[cif.FILE])))
    assert (folder / cif.FILE).read_bytes() == smallest.files[cif.FILE]
    assert "--kind 'CIF'" in (folder / "FAULT.txt").read_text()
