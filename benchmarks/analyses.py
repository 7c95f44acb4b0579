"""All numbers of the page "Reading the embeddings", as Markdown and CSV.

    python benchmarks/analyses.py --output docs/reading.csv
    python benchmarks/analyses.py --output docs/reading.csv --only oxides --data ../shared/data
    python benchmarks/analyses.py --output docs/reading.csv --only seeds --runs runs

`--data` has the 56,000 crystals; without it oxides are those of `load_mp_mini`. `--runs` is what
tools/make_ct_uae.py wrote: several seeds of every table. `--only` keeps the other rows of the CSV.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from _common import read_materials_project
from scipy.stats import gaussian_kde

from skuae import CrystalTransformerRegressor, ElementTable, datasets
from skuae.analysis import (
    cluster_elements,
    compare_tables,
    invariance_report,
    oxide_distributions,
    probe_elements,
)
from skuae.embedding import get_table, table_names

TABLES = ("ct-uae-plain", "ct-uae-published", "ct-uae-mt", "ct-uae-mt2", "megnet16")
# Published modes of oxides by class, as ranges.
CLAIMED = {
    "formation_energy_per_atom": {"A": (-4, -2.5), "B": (-4, 0), "C": (-2.5, -1)},
    "band_gap": {"A": (3, 6), "B": (0.5, 2.5), "C": (1, 4)},
    "total_magnetization_per_fu": {"A": (-0.1, 0.1), "B": (5, np.inf), "C": (0, 5)},
}
# The recipe of the article, small enough to be trained on the spot.
SMALL = {
    "element_features": None,
    "table_scale": None,
    "input_norm": False,
    "readout": "first",
    "d_model": 128,
    "n_layers": 2,
    "max_epochs": 12,
}


def _tables():
    return {name: get_table(name) for name in TABLES if name in table_names()}


def clusters(args):
    """Claims 46 to 48: numbers of classes, and what tables without classes give."""
    for name, table in _tables().items():
        yield "48", name, "shape", f"{table.seen.sum()} x {table.n_dims}"
        for claim, space in (("46", "umap"), ("47", "pca")):
            found = cluster_elements(table, space=space)
            mean = found.curves.groupby(["data", "k"])[["silhouette", "silhouette_table"]].mean()
            for kind in ("table", "random", "permuted", "gaussian"):
                best = mean.loc[kind]["silhouette"].idxmax()
                yield claim, name, f"{space}, best k, {kind}", best
                yield claim, name, f"{space}, silhouette, {kind}", mean.loc[(kind, best)].iloc[0]
            yield claim, name, f"{space}, k by elbow", found.k_elbow
            at_k = found.curves[found.curves["k"] == found.n_clusters]
            full = at_k.groupby("data")["silhouette_table"]
            yield claim, name, f"{space}, silhouette in the table", full.mean()["table"]
            yield claim, name, f"{space}, the same, most of noise", full.max().drop("table").max()
            off = found.ari.to_numpy()[~np.eye(len(found.ari), dtype=bool)]
            yield claim, name, f"{space}, ARI between seeds", off.mean()
    rng = np.random.default_rng(0)
    bests = [
        cluster_elements(pd.DataFrame(rng.normal(size=(89, 128)), range(1, 90)), controls=False,
                         random_state=seed).k_silhouette
        for seed in range(12)
    ]  # fmt: skip
    yield "46", "12 tables of noise", "umap, best k", " ".join(map(str, bests))


def spreads(args):
    """Claims 58 and 59: spread of the columns."""
    for name, table in _tables().items():
        spread = table.to_frame().std(axis=0, ddof=0)
        yield "58", name, "mean of the standard deviations", spread.mean()
        yield "59", name, "their standard deviation", spread.std(ddof=0)


def oxides(args):
    """Claims 49 to 53: oxides by class of their other elements."""
    source, columns = "load_mp_mini", list(CLAIMED)[:2]
    if args.data is None:
        data = datasets.load_mp_mini()
        crystals, labels = data.structures, data.labels
    else:
        crystals, labels = read_materials_project(args.data)
        columns, source = list(CLAIMED), "Materials Project"
    found = oxide_distributions(crystals, labels=labels, columns=columns)
    counts = found.counts
    yield "49", source, "with oxygen", counts["crystals"] - counts["no oxygen"]
    for name in ("mixed classes", "value missing", "stay"):
        yield "49", source, name, counts[name]
    for name, n in found.frame["class"].value_counts().sort_index().items():
        yield "50", source, f"class {name}", n
    for claim, column in zip(("51", "52", "53"), columns, strict=False):
        for name, (low, high) in CLAIMED[column].items():
            values = found.frame.loc[found.frame["class"] == name, column].to_numpy()
            other = values[np.abs(values) > 1e-3]
            places = np.linspace(other.min(), other.max(), 400)
            rows = found.summary.loc[(column, name)]
            yield claim, source, f"{name}, mode", places[gaussian_kde(other)(places).argmax()]
            yield claim, source, f"{name}, quartiles", f"{rows['q25']:.2f} to {rows['q75']:.2f}"
            yield claim, source, f"{name}, share of zero", rows["share_zero"]
            inside = (values >= low) & (values <= high)
            yield claim, source, f"{name}, share from {low} to {high}", inside.mean()


def probes(args):
    """Claims 54 to 56: properties from vectors, and the dimensions that matter."""
    first, *others = _tables().values()
    probe = probe_elements(first, controls=[*others, "magpie", "cgcnn", "random"])
    for (prop, table), row in probe.summary.iterrows():
        text = f"{row['r2_mean']:.2f} ± {row['r2_std']:.2f}, best {row['r2_best']:.2f}"
        yield "54", table, prop, text
    for prop, rows in probe.top_dims.groupby(level="property", sort=False):
        share = rows["share_first"].iloc[0]
        yield "56", first.name, prop, f"{' '.join(rows['dim'][:2])}; first in {share:.0%} of splits"


def comparison(args):
    """Claims 57 and 60: warping, and measures that do not know an order of dimensions."""
    yield from _compare(list(_tables().values()))


def seeds(args):
    """Claims 56, 57 and 60 once more: seeds of one table, from the runs that trained them."""
    groups = {}
    for folder in sorted(args.runs.glob("ct-uae-*-*")):
        name = folder.name.rpartition("-")[0]
        path = folder / f"{name}.safetensors"
        if path.exists():
            groups.setdefault(name, []).append(ElementTable.load(path))
    groups = {name: group for name, group in groups.items() if len(group) > 1}
    yield from _compare(groups)
    for name, group in groups.items():
        tops = [probe_elements(t, ["ionization_energy"], controls=[]).top_dims for t in group]
        yield (
            "56",
            f"{name}, seeds",
            "ionization_energy",
            "; ".join(" ".join(top["dim"][:2]) for top in tops),
        )


def _compare(tables):
    found = compare_tables(tables)
    keys = ["first", "second", "kind"]
    columns = ["cka", "cka_null", "rsa", "dtw", "dtw_null", "similar"]
    for (one, other, kind), row in found.pairs.groupby(keys, sort=False)[columns].mean().iterrows():
        pair = f"{one}, {kind}" if kind == "seeds" else f"{one} and {other}"
        yield "57", pair, "mean cost of a step", row["dtw"]
        yield "57", pair, "the same, dimensions shuffled", row["dtw_null"]
        yield "57", pair, "share of steps under 0.013", row["similar"]
        yield "60", pair, "CKA", row["cka"]
        yield "60", pair, "CKA by chance", row["cka_null"]
        yield "60", pair, "RSA", row["rsa"]


def invariance(args):
    """Claim 61: the same crystal written down differently; a small front-end trained here."""
    data = datasets.load_mp_mini(target=["formation_energy_per_atom", "band_gap"])
    X, y = data.structures, pd.DataFrame(data.target, columns=data.target_names)
    for name, params in (("published recipe, small", SMALL),
                         ("defaults, small", {"n_layers": 1, "max_epochs": 6})):  # fmt: skip
        front_end = CrystalTransformerRegressor(random_state=0, device="cpu", **params)
        front_end.fit(X[:2000], y[:2000])
        report = invariance_report(front_end, X[-100:])
        for model in ("fitted", "untrained"):
            row = report.vectors.loc[(model, "rotation and translation")]
            for quantity in row.index:
                yield "61", f"{name}, {model}", quantity, row[quantity]


SECTIONS = {f.__name__: f for f in (clusters, spreads, oxides, probes, comparison, seeds,
                                    invariance)}  # fmt: skip


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="default: all there is data of")
    parser.add_argument("--data", type=Path, help="folder of mp_structures_part*.jsonl.gz")
    parser.add_argument("--runs", type=Path, help="folder of tools/make_ct_uae.py")
    parser.add_argument("--output", type=Path, default=Path("reading.csv"))
    args = parser.parse_args()
    names = args.only or [name for name in SECTIONS if name != "seeds" or args.runs]
    columns = ["section", "claim", "table", "quantity", "value"]
    for name in names:
        rows = [(name, *row) for row in SECTIONS[name](args)]
        frame = pd.DataFrame(rows, columns=columns)
        frame["value"] = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in frame["value"]]
        print(f"\n## {name}\n\n| claim | of | what | value |\n|---|---|---|---|")
        for row in frame.itertuples(index=False):
            print(f"| {row.claim} | {row.table} | {row.quantity} | {row.value} |", flush=True)
        if args.output.exists():
            before = pd.read_csv(args.output, dtype=str)
            frame = pd.concat([before[before["section"] != name], frame])
        frame.to_csv(args.output, index=False)


if __name__ == "__main__":
    main()
