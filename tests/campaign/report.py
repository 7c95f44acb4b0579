"""Faults gathered by cause, as a table, with the smallest input of each in a folder."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from campaign.case import Outcome
from campaign.kinds import KINDS
from campaign.worker import build

Group = tuple[str, str, str]


def grouped(outcomes: Iterable[Outcome]) -> dict[Group, list[Outcome]]:
    """Gather faults by kind of input, kind of fault and the mutation that they share most.

    Parameters
    ----------
    outcomes : iterable of Outcome

    Returns
    -------
    dict
        The simplest outcome of each group first.
    """
    faults = [outcome for outcome in outcomes if outcome.end == "fault"]
    how_often = Counter((o.where["kind"], o.fault, name) for o in faults for name in o.mutations)
    groups: dict[Group, list[Outcome]] = defaultdict(list)
    for outcome in sorted(faults, key=lambda o: len(o.mutations)):
        kind = str(outcome.where["kind"])
        shared = max(
            outcome.mutations, key=lambda name: how_often[kind, outcome.fault, name], default=""
        )
        groups[kind, outcome.fault, shared].append(outcome)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def command(outcome: Outcome) -> str:
    """Return the command that tries this input again."""
    where = outcome.where
    kind = where["kind"] if "index" in where else str(where["kind"]).split()[0]
    again = f"PYTHONPATH=tests python -m campaign --kind '{kind}' --seed {where['seed']}"
    return f"{again} --index {where['index']}" if "index" in where else again


def counts(outcomes: Iterable[Outcome]) -> str:
    """Return a table of how many inputs of each kind ended how."""
    ends = Counter((str(o.where["kind"]), o.end) for o in outcomes)
    lines = [f"{'kind':26}{'tried':>8}{'read':>8}{'refused':>9}{'faults':>8}"]
    for kind in dict.fromkeys(kind for kind, _ in ends):
        read, refused, fault = (ends[kind, end] for end in ("read", "refused", "fault"))
        lines.append(f"{kind:26}{read + refused + fault:8}{read:8}{refused:9}{fault:8}")
    return "\n".join(lines)


def faults(outcomes: Iterable[Outcome]) -> str:
    """Return a paragraph for each group of faults."""
    lines = []
    for (kind, fault, shared), group in grouped(outcomes).items():
        first = group[0]
        lines.append(f"{len(group)} x {kind}, {fault}: {shared}")
        lines.append(f"    {command(first)}")
        lines.append(f"    {', '.join(first.mutations)} | {' '.join(first.text.split())[:300]}")
    return "\n".join(lines)


def keep_smallest(outcomes: Iterable[Outcome], folder: Path) -> None:
    """Write the smallest input of each group of faults to a folder.

    Parameters
    ----------
    outcomes : iterable of Outcome
    folder : Path
        Made if missing.
    """
    for number, ((kind, fault, _), group) in enumerate(grouped(outcomes).items()):
        cases: list[tuple] = []
        for outcome in group:
            if "index" in outcome.where:  # kills and the like have no input
                where = outcome.where
                case = build(kind, KINDS[kind], int(where["seed"]), int(where["index"]))
                size = sum(map(len, case.files.values()))
                cases.append((len(case.mutations), size, len(cases), case, outcome))
        if cases:
            *_, case, outcome = min(cases)
            target = folder / f"{number:03d} {kind} {fault}".replace(" ", "-")
            target.mkdir(parents=True, exist_ok=True)
            for name, content in case.files.items():
                (target / name).write_bytes(content)
            said = f"{command(outcome)}\n{', '.join(case.mutations)}\n{outcome.text}\n"
            (target / "FAULT.txt").write_text(said)
