"""Write the published weights of M3GNet as a potential that skuae reads, without TensorFlow.

    git clone https://github.com/materialsvirtuallab/m3gnet
    python tools/convert_m3gnet.py m3gnet/pretrained/MP-2021.2.8-EFS folder

The folder then serves `CrystalPotential.from_pretrained` and ``init_from=``. The weights are under
the BSD 3-clause licence of that repository (Materials Virtual Lab, 2022), which must go with them;
they are not part of skuae. Energies are multiplied with the standard deviation that the package
keeps beside the weights.
"""

import argparse
import json
import struct
from pathlib import Path

import numpy as np
import torch

from skuae._elements import N_ELEMENTS
from skuae.models import ElementEmbedding
from skuae.potentials import CrystalPotential, M3GNet
from skuae.potentials._fitted import FittedPotential
from skuae.potentials._saving import write_potential

NOTES = (
    "Weights MP-2021.2.8-EFS of the m3gnet package, (c) 2022 Materials Virtual Lab, BSD 3-clause "
    "licence. Trained on MPF.2021.2.8, relaxations of the Materials Project. Chen and Ong, Nature "
    "Computational Science 2, 718 (2022)."
)
N_OWN = 94  # elements with a vector; the first row of the table stands for none
_FLOAT32, _FOOTER = 1, 48


# -- the format of TensorFlow's checkpoints -------------------------------------------------------


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    """Return an integer of variable length, and where it ends."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place


def read_block(data: bytes, offset: int, size: int) -> list[tuple[bytes, bytes]]:
    """Return keys and values of a block of a sorted table; keys share beginnings."""
    if data[offset + size]:
        raise ValueError("the index is compressed, which M3GNet's is not")
    block = data[offset : offset + size]
    (n_restarts,) = struct.unpack("<I", block[-4:])
    end, place, key, pairs = len(block) - 4 - 4 * n_restarts, 0, b"", []
    while place < end:
        shared, place = read_varint(block, place)
        own, place = read_varint(block, place)
        length, place = read_varint(block, place)
        key = key[:shared] + block[place : place + own]
        place += own
        pairs.append((key, block[place : place + length]))
        place += length
    return pairs


def read_message(data: bytes) -> dict[int, list]:
    """Return the fields of a message of protocol buffers by number."""
    place, fields = 0, {}
    while place < len(data):
        tag, place = read_varint(data, place)
        if tag & 7 == 0:
            value, place = read_varint(data, place)
        else:
            length, place = (4, place) if tag & 7 == 5 else read_varint(data, place)
            value = data[place : place + length]
            place += length
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def read_checkpoint(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint, by name."""
    index = (folder / "m3gnet.index").read_bytes()
    content = (folder / "m3gnet.data-00000-of-00001").read_bytes()
    place, numbers = 0, []
    for _ in range(4):
        number, place = read_varint(index[-_FOOTER:], place)
        numbers.append(number)
    weights = {}
    for _, handle in read_block(index, *numbers[2:]):
        offset, place = read_varint(handle, 0)
        size, _ = read_varint(handle, place)
        for key, value in read_block(index, offset, size):
            entry = read_message(value)
            if not key or entry[1][0] != _FLOAT32:
                continue
            dims = read_message(entry[2][0]).get(2, []) if 2 in entry else []
            shape = [read_message(dim)[1][0] for dim in dims]
            start = entry.get(4, [0])[0]
            values = np.frombuffer(content[start : start + entry[5][0]], "<f4").reshape(shape)
            name = key.decode().removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
            weights[name] = torch.tensor(values)
    return weights


# -- names ----------------------------------------------------------------------------------------


def rename(left: dict[str, torch.Tensor], std: float) -> dict[str, torch.Tensor]:
    """Return the weights under the names of the module here; what is taken is removed."""
    weights = {}

    def take(ours: str, *theirs: str) -> None:
        for kind, name in (("kernel", "weight"), ("bias", "bias")):
            if f"{theirs[0]}/{kind}" in left:
                parts = [left.pop(f"{one}/{kind}") for one in theirs]
                weights[f"{ours}.{name}"] = torch.cat([part.T for part in parts] if kind == "kernel"
                                                      else parts)  # fmt: skip

    def both(name: str, layer: int) -> list[str]:
        return [f"{name}/{part}/layers/{layer}" for part in ("pipe", "gate")]

    take("edge_embedding", "feature_adjust/update_func/pipe/layers/0")
    for i in range(3):
        three, block = f"three_interactions/{i}", f"graph_layers/{i}"
        take(f"three_body.{i}.site", f"{three}/update_network/pipe/layers/0")
        take(f"three_body.{i}.bond", *both(f"{three}/update_network2", 0))
        for kind, gate, weight in (
            ("edge", "bond_network/update_func", "bond_network/weight_func"),
            ("site", "atom_network/bond_dense", "atom_network/weight_update"),
        ):
            ours = f"updates.{i}.{kind}"
            take(f"{ours}_gate.first", *both(f"{block}/{gate}", 0))
            for part, name in zip(("core", "gate"), both(f"{block}/{gate}", 1), strict=True):
                take(f"{ours}_gate.{part}", name)
            take(f"{ours}_weights", f"{block}/{weight}")
    for layer in range(3):
        names = both("final/layers/0/atom_network/update_func", layer)
        for part, name in zip(("core", "gate"), names, strict=True):
            take(f"readout.{part}.{layer}" + (".0" if layer < 2 else ""), name)
    for kind in ("weight", "bias"):
        weights[f"readout.core.2.{kind}"] *= std
    return weights


def convert(folder: Path) -> FittedPotential:
    """Return the potential of a checkpoint."""
    left = read_checkpoint(folder)
    config = json.loads(json.loads((folder / "m3gnet.json").read_text()))["config"]
    elements = left.pop("featurizer/atom_network/embedding/embeddings")[1:].clone()
    weights = rename(left, config["std"])
    if left:
        raise ValueError(f"weights of another network: {', '.join(sorted(left))}")
    backbone = M3GNet()
    module = backbone.build(ElementEmbedding(elements, frozen=False))
    module.load_state_dict({**weights, "elements.weight": elements})
    references, seen = np.zeros(N_ELEMENTS), np.zeros(N_ELEMENTS, dtype=bool)
    references[:N_OWN] = config["element_refs"][1 : N_OWN + 1]
    seen[:N_OWN] = np.abs(references[:N_OWN]) > 1e-6
    return FittedPotential(backbone, module, references, seen, False, False)


def main() -> None:
    """Read both folders, convert, and compare with the tests of the package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    write_potential(args.folder, convert(args.checkpoint), [], NOTES)
    potential = CrystalPotential.from_pretrained(args.folder, device="cpu")
    from pymatgen.core import Lattice, Structure

    far = Structure(Lattice.cubic(3.3), ["Mo", "Mo"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    near = Structure(Lattice.cubic(3.3), ["Mo", "Mo"], [[0, 0, 0], [0.5 / 3.3] * 3])
    found = potential.predict_all([far, near])
    print(f"{args.folder / 'model.safetensors'}: {potential.fitted_.backbone}")
    for what, ours, theirs in (
        ("energy of bcc Mo (eV)", found["energy"][0], -21.3307),
        ("stress of bcc Mo (GPa)", found["stress"][0][0, 0], 28.519585),
        ("energy of Mo atoms at 0.87 Å (eV)", found["energy"][1], 325.37271),
        ("force on one of these (eV/Å)", found["forces"][1][0, 0], -673.525),
    ):
        print(f"{what}: {ours:.4f}, in the tests of m3gnet {theirs:.4f}")


if __name__ == "__main__":
    main()
