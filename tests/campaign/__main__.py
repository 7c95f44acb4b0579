"""Run a campaign: ``PYTHONPATH=tests python -m campaign --seed 7 --size large``."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from campaign import report
from campaign.kinds import KINDS
from campaign.run import OTHERS, SIZES, run, try_inputs


def main() -> int:
    """Print a table of what was tried and a paragraph a fault; return 1 if there are faults."""
    parser = argparse.ArgumentParser(prog="python -m campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--files", type=int, help="inputs of all kinds, in place of --size")
    parser.add_argument("--kills", type=int, help="kills of each sort, in place of --size")
    parser.add_argument("--kind", choices=[*KINDS, *OTHERS], nargs="+", help="these alone")
    parser.add_argument("--index", type=int, help="this input of one --kind alone")
    parser.add_argument("--keep", type=Path, help="folder for the smallest input of each fault")
    args = parser.parse_args()
    size = SIZES[args.size]
    size = replace(size, inputs=args.files or size.inputs, kills=args.kills or size.kills)
    parts = args.kind or [*KINDS, *OTHERS]
    if args.index is not None:
        if len(parts) != 1 or parts[0] not in KINDS:
            parser.error(f"--index needs one --kind of {', '.join(KINDS)}")
        outcomes = list(try_inputs(parts[0], args.seed, range(args.index, args.index + 1)))
    else:
        tried = (outcome for name in parts for outcome in run(name, args.seed, size))
        outcomes = list(tqdm(tried, unit=" tried", mininterval=5, file=sys.stderr))
    print(report.counts(outcomes))
    print(report.faults(outcomes))
    if args.keep is not None:
        report.keep_smallest(outcomes, args.keep)
    return any(outcome.end == "fault" for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
