"""ALIGNN training: ours against the pure-PyTorch `alignn`, on the same crystals and threads.

    pip install -r benchmarks/requirements-peers.txt
    python benchmarks/bench_alignn.py --structures mp_structures_part*.jsonl.gz
    python benchmarks/bench_alignn.py --memory ours
    python benchmarks/bench_alignn.py --memory peer

Both: 4 + 4 layers of width 256, 12 neighbours within 8 Å, all angles between them, batches of 64;
epoch by epoch in turns, the graphs built before. What each side is made of is in _training.py and
_peers.py.
"""

from _peers import PureALIGNN, require
from _training import main

if __name__ == "__main__":
    require("alignn", "jarvis")
    from skuae.models import ALIGNN

    main(__doc__, ALIGNN, PureALIGNN, n=256, repeats=3)
