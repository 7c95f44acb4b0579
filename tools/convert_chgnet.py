"""Write the published weights of CHGNet as a potential that skuae reads without the chgnet package.

    python tools/convert_chgnet.py chgnet-0.3.0 folder

The chgnet package must be installed. Its file is read with ``weights_only=True``: tensors and
numbers, nothing that runs. The folder then serves `CrystalPotential.from_pretrained` and
``init_from=``. The weights are under the modified BSD licence of the package (Regents of the
University of California, 2023), which must go with them; they are not part of skuae.
"""

import argparse
from pathlib import Path

from skuae.potentials import CrystalPotential

NAMES = ("chgnet-0.3.0", "chgnet-0.2.0", "chgnet-r2scan")
NOTES = (
    "Weights of {} of the chgnet package, (c) 2023 The Regents of the University of California, "
    "modified BSD licence. Trained on MPtrj, relaxations of the Materials Project (r2scan: tuned "
    "on MP-r2SCAN). Deng et al., Nature Machine Intelligence 5, 1031 (2023)."
)


def main() -> None:
    """Read the name and the folder, and convert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    potential = CrystalPotential.from_pretrained(args.name, device="cpu")
    potential.save_pretrained(args.folder, notes=NOTES.format(args.name))
    print(f"{args.folder / 'model.safetensors'}: {potential.fitted_.backbone}")


if __name__ == "__main__":
    main()
