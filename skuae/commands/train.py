"""``skuae train``: a model fitted on labelled crystals, with its errors on held-out rows."""

import argparse

from skuae.commands._settings import (
    BACKBONES,
    DATA_HELP,
    SEVERAL,
    add_limit,
    add_machine_options,
    add_overwrite,
    new_parser,
)

__all__ = ["add_parser", "run"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options to the command line.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
        As ``ArgumentParser.add_subparsers`` returns it.
    """
    parser = new_parser(
        subparsers,
        "train",
        help="fit a model to labelled crystals and measure its errors on held-out rows",
        description="Fit a graph network, or a pipeline with one, to labelled crystals. Its errors "
        "are measured on held-out rows first and compared with those of a constant. The model that "
        "is written is then fitted on all rows. MODEL gets model.safetensors, README.md, "
        "metrics.json, predictions.csv (of the held-out rows) and parity.png, or confusion.png for "
        "classes.",
        example="skuae train my_folder --target band_gap --folds 5 --group formula -o my_model",
    )
    add = parser.add_argument
    add("data", nargs="+", metavar="DATA", help=DATA_HELP)
    add("--target", action="append", required=True, metavar="COLUMN", help="what to learn; give it "
        "again for several targets. Texts and booleans are classes. A folder whose id_prop.csv has "
        "no header line has the column target")  # fmt: skip
    add("--unit", action="append", metavar="UNIT", help="of the target, such as eV; once for each")
    add("-o", "--output", metavar="MODEL", required=True, help="the folder to write")
    add("--task", choices=("regression", "classification"), help="default: classification for "
        "texts and booleans, regression for numbers")  # fmt: skip
    add("--recipe", choices=("network", "pipeline"), default="network", help="network (default): "
        "one graph network. pipeline: skuae.crystal_pipeline, for a few hundred labels: several "
        "models of different kinds, fitted once for each inner fold. It needs "
        "skuae[analysis,save]")  # fmt: skip
    add("--backbone", default="cgcnn", metavar="NAME", help=f"{', '.join(BACKBONES)}; default: "
        "cgcnn")  # fmt: skip
    add("--embedding", metavar="TABLE", help="element table: a name such as ct-uae-mt or magpie, "
        "a .safetensors or .csv file, or a folder of skuae pretrain; default: the input of the "
        "back-end's paper, and ct-uae-mt in a pipeline")  # fmt: skip
    add("--set", **SEVERAL, metavar="NAME=VALUE", help="parameters of the estimator, such as "
        "max_epochs=300 early_stopping=true loss=gaussian_nll backbone__cutoff=6; of a pipeline, "
        "such as network__max_epochs=300 trees__catboost__depth=4 model=mp, the name or "
        "folder of the network that the pipeline takes features from")  # fmt: skip
    split = parser.add_mutually_exclusive_group()
    split.add_argument("--test-fraction", type=float, default=0.2, metavar="F", help="share of the "
        "rows (with --group, of the formulas) to hold out; 0 for none; default: 0.2")  # fmt: skip
    split.add_argument("--folds", type=int, metavar="K", help="hold out each row once, by "
        "cross-validation")  # fmt: skip
    add("--group", choices=("formula",), help="hold out crystals of one reduced formula together")
    add("--random-state", type=int, default=0, help="of the split and the network; default: 0")
    add_machine_options(parser, device=True)
    add_limit(parser)
    add_overwrite(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit, measure, write, and print the errors.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed options.

    Returns
    -------
    int
        The exit status: 1 if held-out rows could not be predicted.
    """
    from pathlib import Path

    from skuae._files import check_companions
    from skuae._hub import CARD_MARKS
    from skuae._ranks import is_first
    from skuae.commands._output import check_free, show
    from skuae.commands._scores import as_table
    from skuae.commands._training import FILES, fit_and_score, prepare, write
    from skuae.commands._warnings import left_out

    folder = Path(args.output)
    if folder.is_file():
        raise ValueError(f"-o {folder}: there is a file of that name; give the path of a folder")
    check_companions(folder, CARD_MARKS)  # --overwrite replaces cards, not notes of users
    check_free([folder / name for name in FILES], args.overwrite)
    if not is_first():
        args.quiet = True
    prepared = prepare(args)
    try:
        with left_out("training interrupted"):  # the model is not kept
            model, scored, notes = fit_and_score(args, prepared)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("stopped, and no model was written") from stop
    status = int(scored is not None and scored.n_failed > 0)
    if not is_first():  # of several ranks, one writes
        return status
    write(folder, model, prepared.crystals, scored, notes)
    if scored is None:
        print(f"no rows were held out, and no errors measured\n{folder}")
        return status
    show(as_table(notes["errors"], notes["units"]), index=True)
    if scored.n_failed:
        print(f"{scored.n_failed} held-out rows have no prediction; see predictions.csv")
    print(folder)
    return status
