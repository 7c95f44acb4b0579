"""Tables that are computed: one-hot, random, and the 92 bits of CGCNN."""

import numpy as np

from skuae._elements import N_ELEMENTS, SYMBOLS
from skuae.embedding._table import ElementTable

_ONEHOT_DIMS = 100  # H to Fm, as in the CrystalTransformer
_RANDOM_DIMS = 128
_RANDOM_SEED = 42

# Per property: its name and number of bins, then the bin of each element from H to Fm as one
# base-36 digit ("." where the value is not known: all bits of the block stay 0).
_CGCNN_BINS = """\
group 19
1i12defghi12defghi123456789abcdefghi123456789abcdefghi12000000000000003456789abcdefghi12000000000000
period 7
0011111111222222223333333333333333334444444444444444445555555555555555555555555555555566666666666666
electronegativity 10
4.1345789.1233457.01223333343334457.012234445443344466011111.1.1.2222.122334445333344.01122322......
covalent_radius 10
0043222111554433337654444433344444348765554444445554449766666666666666655444444455555587766666666666
valence_electrons 12
0101234567012345670123456789ab234567012345678bab234567011111111111111123456789ab23456701111111111111
ionization_energy 10
6914456678132355670223333333342344560222333334342344550122122222222222133334444523344501122222222222
electron_affinity 10
5.5046269.5.56579.544455.4566.56579.54455556656.466794545557..5.65..64444546677.55578.545...........
block 4
0000111111001111110022222222221111110022222222221111110033333333333333222222222211111100333333333333
atomic_volume 10
463000444454234456864321111112333457975432222223445568975555.56555554643322222244555...855435.55....
"""

_CGCNN_CITATION = """\
@article{xie2018crystal,
  title = {Crystal Graph Convolutional Neural Networks for an Accurate and Interpretable Prediction
           of Material Properties},
  author = {Xie, Tian and Grossman, Jeffrey C.},
  journal = {Physical Review Letters}, volume = {120}, number = {14}, pages = {145301},
  year = {2018}, doi = {10.1103/PhysRevLett.120.145301}
}"""


def onehot():
    """Return the table of unit vectors: 100 elements (H to Fm) x 100 columns."""
    return ElementTable(
        np.eye(_ONEHOT_DIMS),
        SYMBOLS[:_ONEHOT_DIMS],
        name="onehot",
        columns=SYMBOLS[:_ONEHOT_DIMS],
        metadata={"description": "Unit vectors: says which element it is, and nothing about it."},
    )


def random(name="random", n_dims=_RANDOM_DIMS):
    """Return the table of standard normal vectors from a fixed seed: 118 elements x 128 columns."""
    rng = np.random.default_rng(_RANDOM_SEED)
    return ElementTable(
        rng.standard_normal((N_ELEMENTS, n_dims)),
        SYMBOLS,
        name=name,
        metadata={
            "description": "Standard normal vectors, a control for the number of columns.",
            "seed": _RANDOM_SEED,
        },
    )


def random16():
    """Return 118 elements x 16 columns of standard normals: what MEGNet starts to learn from."""
    return random("random16", 16)


def cgcnn():
    """Return the 92 bits of CGCNN's ``atom_init.json``: 100 elements (H to Fm).

    One-hot blocks for group (0 for the f block), period, electronegativity (Pauling, 0.5 to 4.0),
    covalent radius (Pyykkö, 25 to 250 pm), valence electrons, ln first ionisation energy in eV (1.3
    to 3.3), electron affinity (-3 to 3.7 eV), block (s, p, d, f) and ln atomic volume in cm³/mol
    (1.5 to 4.3). Some neighbours share a row: La and Ce, Sm and Gd, Ho and Er, Th and Np, Am and
    Cm, Bk to Fm.

    Returns
    -------
    ElementTable

    References
    ----------
    .. [1] T. Xie, J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018).
    """
    lines = _CGCNN_BINS.split("\n")
    blocks, columns = [], []
    for header, bins in zip(lines[0::2], lines[1::2], strict=False):
        name, size = header.split()
        bits = np.zeros((len(bins), int(size)))
        for row, digit in enumerate(bins):
            if digit != ".":
                bits[row, int(digit, 36)] = 1
        blocks.append(bits)
        columns += [f"{name}_{k}" for k in range(int(size))]
    bits = np.hstack(blocks)
    return ElementTable(
        bits,
        SYMBOLS[: len(bits)],
        name="cgcnn",
        columns=columns,
        metadata={
            "description": "92 bits for nine binned properties, equal to CGCNN's atom_init.json.",
            "source": "computed from public element data, https://github.com/txie-93/cgcnn",
            "licence": "MIT",
            "citation": _CGCNN_CITATION,
        },
    )
