"""MEGNet training: ours against matgl's at its defaults, on the same crystals and threads.

    pip install -r benchmarks/requirements-peers.txt
    python benchmarks/bench_megnet.py --structures mp_structures_part*.jsonl.gz
    python benchmarks/bench_megnet.py --memory ours
    python benchmarks/bench_megnet.py --memory peer

Both: all neighbours within 4 Å, 100 Gaussians, three blocks, batches of 128; epoch by epoch in
turns, the graphs built before. What each side is made of is in _training.py and _peers.py.
"""

from _peers import MatglMEGNet, require
from _training import main

if __name__ == "__main__":
    require("matgl")
    from skuae.models import MEGNet

    main(__doc__, MEGNet, MatglMEGNet, n=2560)
