"""``skuae info``: what a model, an element table or a data set is."""

import argparse

from skuae.commands._settings import add_limit, add_machine_options, new_parser

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
        "info",
        help="say what a model, an element table or a data set is",
        description="Say what a saved model, an element table or a data set is: targets, elements, "
        "rows, parameters, versions. Exit status: 1 if rows of a data set cannot be read.",
        example="skuae info my_model",
    )
    add = parser.add_argument
    add("name", metavar="MODEL|TABLE|DATA", help="folder or name of a model; name or file of an "
        "element table; structure files, a folder of them, or a table with structures")  # fmt: skip
    add("--json", action="store_true", help="print JSON instead of lines")
    add_machine_options(parser)
    add_limit(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is known.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed options.

    Returns
    -------
    int
        The exit status: 1 if rows of a data set cannot be read.
    """
    from skuae.commands._facts import facts_on
    from skuae.commands._facts_text import facts_as_text
    from skuae.commands._output import plain, show_json

    facts = plain(facts_on(args.name, args.jobs, bool(args.quiet)))
    if args.json:
        show_json(facts)
    else:
        print(facts_as_text(facts))
    return int(bool(facts.get("errors")))
