"""The article's Tables 1 to 3 at desk scale: what element tables do for back-ends.

    python benchmarks/paper_tables.py --data ../shared/data --runs runs --plan tables   # sources
    python benchmarks/paper_tables.py --data ../shared/data --plan curves    # few labels to many
    python benchmarks/paper_tables.py --data ../shared/data --plan others    # other properties
    python benchmarks/paper_tables.py --data ../shared/data --plan full      # the article's split
    python benchmarks/paper_tables.py --report

All sources of vectors see the same training rows, test rows, epochs and settings (the defaults of
`CrystalGNNRegressor`); only the seed differs between repeats: it draws the training rows, the
weights and the order, and with `--runs` (the folder that `tools/make_ct_uae.py` wrote) it is that
of the pre-training, too; `ct-uae-mt` joins all seeds. Test rows are in no pre-training pool, by
formula. Runs that are done are kept in `docs/paper_tables.csv`, so a stopped plan goes on where it
was. `--report` adds the errors of single test rows, which the runs leave in `--errors`, to
`docs/paper_tables.npz`: the intervals need them.
"""

import argparse
import csv
import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from _common import read_materials_project
from matplotlib import ticker
from sklearn.frozen import FrozenEstimator

from skuae import CrystalGNNRegressor, CrystalTransformerRegressor, datasets, models
from skuae.embedding import resolve_table

DOCS = Path(__file__).parents[1] / "docs"
COLUMNS = ["data", "backbone", "table", "mode", "n_train", "epochs", "seed"]
ROWS = {"perovskites": 15_142, "mp_ef": 22_895, "hoip": 1700, "mp_full_ef": 42_916}  # to train on
BACKBONES = {"alignn-small": models.ALIGNN(hidden_dim=64, n_alignn=2, n_gcn=2)}
MAX_SITES = 20  # of the desk-scale Materials Project sets
SOURCES = ["native", "onehot", "random", "magpie", "mat2vec", "cg-uae", "meg-uae",
           "ct-uae-published", "ct-uae-plain", "ct-uae-ef", "ct-uae-eg", "ct-uae-mt2",
           "ct-uae-mt3", "ct-uae-mt4", "ct-uae-mt"]  # fmt: skip
LABELS = {"perovskites": "e_form", "mp_ef": "formation_energy_per_atom_megnet2018",
          "mp_eg": "band_gap_megnet2018", "hoip": "band_gap", "mp_k": "K_VRH", "mp_g": "G_VRH",
          "mp_fermi": "efermi", "surfaces": "prop1",
          "mp_full_ef": "formation_energy_per_atom_megnet2018"}  # fmt: skip
UNITS = {"perovskites": "eV per cell", "mp_ef": "eV/atom", "mp_eg": "eV", "hoip": "eV",
         "mp_k": "log10(GPa)", "mp_g": "log10(GPa)", "mp_fermi": "eV", "surfaces": "eV/Å²",
         "mp_full_ef": "eV/atom"}  # fmt: skip
TITLES = {
    "mp_ef": "Materials Project, formation energy",
    "mp_eg": "Materials Project, gap",
    "perovskites": "MatBench perovskites, formation energy",
    "hoip": "hybrid perovskites, gap",
    "mp_k": "Materials Project, bulk modulus",
    "mp_g": "Materials Project, shear modulus",
    "mp_fermi": "Materials Project, Fermi level",
    "surfaces": "slabs of intermetallics, surface energy",
    "mp_full_ef": "Materials Project, formation energy, the article's split",
}
COLORS = ["#999999", "#56B4E9", "#E69F00", "#009E73", "#D55E00"]  # told apart by colour-blind, too
FEW = ["native", "onehot", "cg-uae", "ct-uae-published", "ct-uae-mt"]


def plans():
    """Return the runs of each plan, the most telling first."""
    seeds = range(3)
    tables = [
        (data, "cgcnn", table, mode, 400, 100, seed)
        for seed, data in itertools.product(seeds, ["mp_ef", "mp_eg"])
        for table, mode in [
            *((s, "tuned") for s in SOURCES),
            ("ct-uae-mt", "frozen"),
            ("ct-uae-mt2", "coords"),
            ("ct-uae-mt2", "unscaled"),
            ("ct-uae-plain", "unscaled"),
        ]
    ]
    more = ["native", "onehot", "random", "cg-uae", "meg-uae", "ct-uae-mt"]
    tables += [
        (data, "megnet", table, "tuned", 400, 100, seed)
        for seed, data, table in itertools.product(seeds, ["mp_ef", "mp_eg"], more)
    ]
    tables += [
        (data, "alignn-small", table, "tuned", 400, 60, seed)
        for data, table, seed in itertools.product(["mp_ef", "mp_eg"], more, seeds)
    ]
    sizes = {100: 100, 300: 100, 1000: 100, 3000: 60, "all": 30}
    curves = [
        (data, "cgcnn", table, "tuned", ROWS[data] if n == "all" else n, epochs, seed)
        for (n, epochs), data, seed, table in itertools.product(
            sizes.items(), ("perovskites", "mp_ef"), seeds, FEW
        )
    ]
    curves += [
        ("hoip", backbone, table, "tuned", n, 60, seed)
        for backbone, n, seed, table in itertools.product(
            ("cgcnn", "megnet"), (100, 300, 1000, ROWS["hoip"]), seeds, FEW
        )
    ]
    others = [
        (data, "cgcnn", table, "tuned", 400, 100, seed)
        for data, seed, table in itertools.product(
            ("mp_k", "mp_g", "mp_fermi", "surfaces"), seeds, FEW
        )
    ]
    full = [
        ("mp_full_ef", backbone, table, "tuned", ROWS["mp_full_ef"], epochs, 0)
        for backbone, method_ii in (("cgcnn", "cg-uae"), ("megnet", "meg-uae"))
        for epochs, tables in (
            (20, ("native", "onehot", method_ii, "ct-uae-mt")),
            (60, ("native", "onehot", "ct-uae-mt")),  # does what 20 epochs say last?
        )
        for table in tables
    ]
    return {"tables": tables, "curves": curves, "others": others, "full": full}


_materials_project = cache(read_materials_project)


@cache
def load(name, folder):
    """Return crystals, target, rows that may be trained on, and test rows."""
    draw = np.random.default_rng(0).permutation
    if name.startswith("mp_"):
        crystals, labels = _materials_project(folder)
        y, split = labels[LABELS[name]].to_numpy(), labels["megnet_split"].to_numpy()
        held = ["test"]
        if name in ("mp_k", "mp_g"):  # known for few; no table was learned from these parts
            y, held = np.log10(np.where(y > 0, y, np.nan)), ["val", "test"]
        known = ~np.isnan(y)
        if not name.startswith("mp_full"):
            known &= (crystals.sizes <= MAX_SITES) & _without_helium(crystals)
        train, test = (np.flatnonzero(known & np.isin(split, s)) for s in (["train"], held))
        return crystals, y, train, test if name.startswith("mp_full") else draw(test)[:1000]
    file = {"perovskites": "matbench_perovskites", "hoip": "hoip_nakajima",
            "surfaces": "surface_property3"}[name]  # fmt: skip
    data = datasets.read_file(folder / f"{file}.jsonl.gz", target=LABELS[name])
    if name == "perovskites":  # fold 0 of MatBench
        fold = data.labels["fold"].to_numpy()
        return data.structures, data.target, np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    if name == "surfaces":  # by formula: a crystal may have several
        group = datasets.formula_groups(data.structures)
        held = np.isin(group, draw(group.max() + 1)[: group.max() // 3])
        return data.structures, data.target, np.flatnonzero(~held), np.flatnonzero(held)
    order = draw(len(data.target))
    return data.structures, data.target, order[-ROWS[name] :], order[: -ROWS[name]]


def _without_helium(crystals):
    """Mark crystals that all tables can describe: none was learned from helium."""
    rows, numbers, _ = crystals.composition()
    return ~np.isin(np.arange(len(crystals)), rows[numbers == 2])


def _embedding(table, mode, seed, args, fill):
    if table == "native":
        return None
    if mode in ("coords", "unscaled"):  # of the front-end, not of its table
        folder = args.runs / f"{table}-{seed}" / "model"
        front_end = CrystalTransformerRegressor.from_pretrained(folder)
        if mode == "coords":
            return FrozenEstimator(front_end)
        network = front_end.network_
        front_end.network_ = replace(network, elements=replace(network.elements, sensitivity=None))
        return front_end.element_table_
    if args.runs is not None and table != "ct-uae-mt" and table.startswith(("ct-", "cg-", "meg-")):
        table = args.runs / f"{table}-{seed}" / f"{table}.safetensors"
    return resolve_table(table)[0].fill_missing() if fill else table


def run(key, args):
    """Return absolute errors on the test rows, and the seconds of the fit."""
    data, backbone, table, mode, n_train, epochs, seed = key
    crystals, y, train, test = load(data, args.data)
    if len(train) < n_train:
        raise ValueError(f"{data} has {len(train)} rows to train on, the plan says {n_train}")
    train = np.random.default_rng(seed).permutation(train)[:n_train]
    model = CrystalGNNRegressor(
        BACKBONES.get(backbone, backbone),
        # 4 of all the rows have helium, of which the Method II tables know nothing
        embedding=_embedding(table, mode, seed, args, fill=data.startswith("mp_full")),
        freeze_embedding=mode == "frozen",
        coords=mode == "coords",
        max_epochs=epochs,
        checkpoint_dir=args.errors / "checkpoints" if data.startswith("mp_full") else None,
        random_state=seed,
        device=args.device,
    )
    model.fit(crystals[train], y[train])
    seconds = sum(epoch["dur"] for epoch in model.history_)  # of a resumed run, too
    return np.abs(model.predict(crystals[test]) - y[test]), seconds


def do(plan, args):
    """Run what is missing of a plan."""
    wanted = [key for key in plans()[plan] if _wanted(key, args)]
    if args.runs is None and any(key[3] in ("coords", "unscaled") for key in wanted):
        raise SystemExit("chem+coords and tables that are not scaled need --runs")
    if not args.output.exists():
        args.output.write_text(",".join([*COLUMNS, "mae", "fit_s"]) + "\n")
    for key in wanted:
        done = pd.read_csv(args.output)[COLUMNS].astype(str)
        if (done == [str(k) for k in key]).all(axis=1).any():
            continue
        errors, seconds = run(key, args)
        args.errors.mkdir(parents=True, exist_ok=True)
        np.save(args.errors / f"{_name(key)}.npy", errors.astype(np.float32))
        with args.output.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(
                [*key, round(float(errors.mean()), 5), round(seconds)]
            )
        print(*key, round(float(errors.mean()), 4), round(seconds), flush=True)


def _wanted(key, args):
    given = {"data": args.only_data, "backbone": args.only_backbone, "table": args.only_table,
             "n_train": args.only_n, "epochs": args.only_epochs}  # fmt: skip
    return all(v is None or key[COLUMNS.index(k)] in v for k, v in given.items())


def interval(rows, base, errors):
    """Return the relative difference to the baseline and its 95 % interval.

    Test rows and seeds are drawn with replacement, both models on the same ones. None without runs
    of one seed by both.
    """
    both = rows.merge(base, on="seed", suffixes=("", "_base"))
    if both.empty:
        return None
    ours, theirs = (
        np.stack([errors[_name([row[c + end] for c in COLUMNS[:-1]] + [row["seed"]])]
                  for _, row in both.iterrows()])
        for end in ("", "_base")
    )  # fmt: skip
    rng, draws = np.random.default_rng(0), []
    for _ in range(1000):
        seeds = rng.integers(len(ours), size=len(ours))
        tests = rng.integers(ours.shape[1], size=ours.shape[1])
        draws.append(ours[seeds][:, tests].mean() / theirs[seeds][:, tests].mean() - 1)
    return ours.mean() / theirs.mean() - 1, *np.quantile(draws, [0.025, 0.975])


def row_errors(runs, folder):
    """Return errors by run and test row, with those of new runs put into docs/paper_tables.npz."""
    names = [_name(run[COLUMNS]) for _, run in runs.iterrows()]
    file = DOCS / "paper_tables.npz"
    errors = dict(np.load(file)) if file.exists() else {}
    new = [n for n in names if n not in errors or (folder / f"{n}.npy").exists()]  # run again, too
    if missing := [name for name in new if not (folder / f"{name}.npy").exists()]:
        raise FileNotFoundError(
            f"{folder / missing[0]}.npy: the intervals need the errors of every test row; give "
            "--errors the folder where the runs of the table left theirs"
        )
    errors |= {name: np.load(folder / f"{name}.npy").astype(np.float16) for name in new}
    if new:
        np.savez_compressed(file, **{name: errors[name] for name in names})
    return {name: errors[name].astype(np.float32) for name in names}


def _name(key):
    return "_".join(map(str, key))


def report(args):
    """Write docs/paper_tables.md from the runs that are done."""
    runs = pd.read_csv(args.output)
    errors = row_errors(runs, args.errors)
    lines = [
        "# All runs with element tables",
        "",
        "Mean absolute error on held-out rows (mean of the seeds), and its difference in percent "
        "to the native input of the back-end (92 bits for CGCNN and ALIGNN, 16 learned numbers for "
        "MEGNet). The 95 % intervals come from resampling test rows and seeds. With one seed, they "
        "lack the spread between seeds. [All runs](paper_tables.csv), [their errors by test "
        "row](paper_tables.npz); `benchmarks/paper_tables.py`.",
        "",
        "Materials Project: the training and test rows of the MEGNet split, cells of at most "
        f"{MAX_SITES} sites, 1,000 test rows; the article's split: the 42,916 and 3,006 of its "
        "rows that are available, any size. MatBench perovskites: fold 0, 3,786 test rows. Hybrid "
        "perovskites: 2,142 crystals, 442 of them test rows. Moduli (decadic logarithms): the "
        "validation rows of the split are test rows, too. Surfaces: a third of the formulas are "
        "test rows; the unit is guessed from the size.",
    ]
    order = {name: i for i, name in enumerate(TITLES)}
    setting = ["data", "backbone", "n_train", "epochs"]
    runs = runs.sort_values(setting, key=lambda c: c.map(lambda v: order.get(v, v)))
    last = None
    for (data, backbone, n, epochs), group in runs.groupby(setting, sort=False):
        lines += ["", f"## {TITLES[data]}"] if data != last else []
        last = data
        lines += ["", f"### {backbone}, {n:,} labels ({epochs} epochs)", "",
                  f"| vectors | mean absolute error, {UNITS[data]} | seeds | against native |",
                  "|---|---|---|---|"]  # fmt: skip
        base = group[(group["table"] == "native") & (group["mode"] == "tuned")]
        means = group.groupby(["table", "mode"])["mae"].agg(["mean", "count"])
        for (table, mode), row in means.sort_values("mean").iterrows():
            name = table if mode == "tuned" else f"{table}, {mode}"
            found = None
            if table != "native" and len(base):
                own = group[(group["table"] == table) & (group["mode"] == mode)]
                found = interval(own, base, errors)
            text = (
                ""
                if found is None
                else "{:+.0f} % ({:+.0f} to {:+.0f})".format(*(100 * x for x in found))
            )
            lines.append(f"| {name} | {row['mean']:.4f} | {int(row['count'])} | {text} |")
    (DOCS / "paper_tables.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(runs)


def draw(runs):
    """Draw docs/learning_curves.png: error against the number of labels, one line a table."""
    sets = [d for d in UNITS if runs[runs["data"] == d]["n_train"].nunique() > 1]
    if not sets:
        return
    figure, axes = plt.subplots(1, len(sets), figsize=(4.6 * len(sets), 4), layout="constrained")
    for ax, data in zip(np.atleast_1d(axes), sets, strict=True):
        own = runs[(runs["data"] == data) & (runs["backbone"] == "cgcnn")]
        for color, table in zip(COLORS, FEW, strict=True):
            rows = own[(own["table"] == table) & (own["mode"] == "tuned")]
            rows = rows[rows["n_train"] != 400]  # of another plan
            if rows.empty:
                continue
            by_size = rows.groupby("n_train")["mae"].agg(["mean", "min", "max"])
            spread = [by_size["mean"] - by_size["min"], by_size["max"] - by_size["mean"]]
            style = {"color": color, "linewidth": 2.5 if table == "ct-uae-mt" else 1.2}
            ax.errorbar(
                by_size.index, by_size["mean"], spread, label=table, marker="o", capsize=3, **style
            )
        ax.set(xscale="log", yscale="log", title=TITLES[data], xlabel="labels",
               ylabel=f"test error in {UNITS[data]}")  # fmt: skip
        sizes = sorted(own["n_train"].loc[lambda n: n != 400].unique())
        ax.set_xticks(sizes, [f"{n:,}" for n in sizes], minor=False)
        ax.set_xticks([], minor=True)
        ax.yaxis.set_minor_formatter(ticker.FormatStrFormatter("%.2f"))
        ax.yaxis.set_major_formatter(ticker.FormatStrFormatter("%.2f"))
        ax.grid(alpha=0.3, which="both")
    axes = np.atleast_1d(axes)
    axes[0].legend(frameon=False)
    figure.savefig(DOCS / "learning_curves.png", dpi=120)


def main():
    """Do a plan, or write the report."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--plan", choices=plans())
    p.add_argument("--report", action="store_true")
    p.add_argument("--data", type=Path)
    p.add_argument("--runs", type=Path, help="tables by seed; else those that are shipped")
    p.add_argument("--output", type=Path, default=DOCS / "paper_tables.csv")
    p.add_argument("--errors", type=Path, default=Path("paper_tables"))
    p.add_argument("--only-data", nargs="+")
    p.add_argument("--only-backbone", nargs="+")
    p.add_argument("--only-table", nargs="+")
    p.add_argument("--only-n", nargs="+", type=int)
    p.add_argument("--only-epochs", nargs="+", type=int)
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if args.plan:
        do(args.plan, args)
    if args.report:
        report(args)


if __name__ == "__main__":
    main()
