"""Errors of MODNet with the labels and on the scored crystals of compare_few_labels.py.

    python benchmarks/compare_modnet.py write --data ../shared/data --folder modnet   # with skuae
    python benchmarks/compare_modnet.py fit --folder modnet   # in an environment of MODNet

MODNet (De Breuck et al., npj Computational Materials 7, 83, 2021) needs older packages than skuae:

    pip install modnet==0.4.5 matminer==0.9.2 "scipy<1.14" "scikit-learn<1.5"

`write` makes a file for each task. `fit` computes the features of MODNet's fast preset, once for
each crystal (the default features take more than ten times as long), and selects and orders them by
the training labels. The network is one of MODNet's presets, with a batch size of 32, a learning
rate of 0.005, all selected features and hidden layers of the medium width: to choose among all 108
presets by inner folds, as `fit_preset` does, takes five hours for each draw. Errors are added to
the CSV file of compare_few_labels.py; what is there is not repeated.
"""

import argparse
import csv
import hashlib
import json
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
TASKS = ["bulk modulus", "shear modulus", "formation energy", "gap", "OQMD perovskites",
         "surface energy", "critical temperature", "hybrid perovskites"]  # fmt: skip


def write(args):
    """Write the crystals of a task, their labels, and the rows to learn from and to score."""
    import compare_few_labels

    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.tasks:
        crystals, y, pool, scored = compare_few_labels.read_task(name, args.data)
        train = {s: np.random.default_rng(s).permutation(pool)[: args.n] for s in args.seeds}
        rows = np.unique(np.concatenate([scored, *train.values()]))
        found = {
            "structures": [s.as_dict() for s in crystals[rows].to_structures()],
            "y": y[rows].tolist(),
            "scored": np.searchsorted(rows, scored).tolist(),
            "train": {s: np.searchsorted(rows, part).tolist() for s, part in train.items()},
        }
        (args.folder / f"{name}.json").write_text(json.dumps(found))


def fit(args):
    """Fit each draw of each task, and add its error to the CSV file."""
    for name in args.tasks:
        found = json.loads((args.folder / f"{name}.json").read_text())
        y = np.array(found["y"])
        for seed, train in found["train"].items():
            key = [name, str(len(train)), seed, "MODNet"]
            with args.output.open(newline="") as file:
                if key in [row[:4] for row in csv.reader(file)]:
                    continue
            features = features_of(args, found["structures"])
            start = time.process_time()
            predicted = predictions_of(features, y, train, found["scored"], int(seed), args.jobs)
            seconds = time.process_time() - start
            error = np.abs(predicted - y[found["scored"]]).mean()
            row = [*key, f"{error:.5g}", round(seconds, 1)]
            with args.output.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(row)
            print(*row, flush=True)


def features_of(args, structures):
    """Return MODNet's features of the crystals, computed once for all tasks that have these."""
    import pandas as pd
    from modnet.featurizers.presets.matminer_2024_fast import Matminer2024FastFeaturizer
    from modnet.preprocessing import MODData
    from pymatgen.core import Structure

    digest = hashlib.sha256(json.dumps(structures).encode()).hexdigest()
    path = args.folder / f"features-{digest[:16]}.pkl"
    if not path.exists():
        crystals = [Structure.from_dict(structure) for structure in structures]
        data = MODData(crystals, featurizer=Matminer2024FastFeaturizer())
        data.featurize(n_jobs=args.jobs)
        data.df_featurized.to_pickle(path)
    return pd.read_pickle(path)


def predictions_of(features, y, train, scored, seed, jobs):
    """Return the predictions of a network of MODNet for the scored rows."""
    import tensorflow as tf
    from modnet.model_presets import gen_presets
    from modnet.models import MODNetModel
    from modnet.preprocessing import MODData

    tf.keras.utils.set_random_seed(seed)
    data = MODData(
        targets=y[train][:, None],
        target_names=["y"],
        df_featurized=features.iloc[train],
        structure_ids=features.index[train],
    )
    data.feature_selection(n=-1, use_precomputed_cross_nmi=False, n_jobs=jobs, random_state=seed)
    model = MODNetModel([[["y"]]], {"y": 1})
    *_, preset = (
        preset
        for preset in gen_presets(len(data.optimal_features), 1)
        if preset["batch_size"] == 32
        and preset["lr"] == 0.005
        and preset["num_neurons"][0] == [preset["n_feat"]]
    )
    model.fit_preset(data, [preset], nested=0, n_jobs=jobs)  # one training to measure, one on all
    test = MODData(df_featurized=features.iloc[scored], structure_ids=features.index[scored])
    return model.predict(test)["y"].to_numpy()


def main():
    """Write tasks, or fit them."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("command", choices=["write", "fit"])
    p.add_argument("--data", type=Path)
    p.add_argument("--folder", type=Path, default=Path("modnet"))
    p.add_argument("--tasks", nargs="+", default=TASKS)
    p.add_argument("--n", type=int, default=400, help="labels")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--output", type=Path, default=ROOT / "docs" / "compare_few_labels.csv")
    args = p.parse_args()
    (write if args.command == "write" else fit)(args)


if __name__ == "__main__":
    main()
