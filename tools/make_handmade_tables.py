"""Write the hand-made element tables that skuae ships, from the ElementEmbeddings package.

    python tools/make_handmade_tables.py [folder]

The folder is ``skuae/embedding/tables`` by default. Needs ``pip install "skuae[embeddings]"``.
"""

import sys
from importlib.metadata import version
from pathlib import Path

from elementembeddings.core import Embedding

from skuae.embedding import ElementTable

LICENCE = "MIT, Copyright (c) 2022 Materials Design Group (ElementEmbeddings)"
# Atomic number <= 94 but absent from the training data: their rows are the random start, with a
# fifth of the spread of the other rows.
MEGNET_UNTRAINED = ["Po", "At", "Rn", "Fr", "Ra"]

CARDS = {
    "magpie": {
        "description": "22 element properties of Magpie; every column has mean 0 and standard "
        "deviation 1 over the 97 elements.",
        "licence": LICENCE,
        "origin": "https://bitbucket.org/wolverton/magpie by way of "
        "https://github.com/Kaaiian/CBFV. The units were: K (MeltingT), u (AtomicWeight), pm "
        "(CovalentRadius), Å³/atom (GSvolume_pa), eV (GSbandgap), Bohr magnetons (GSmagmom).",
        "note": "No value was missing. Some (electronegativity of noble gases, melting point of "
        "helium) are column means that were filled in upstream.",
    },
    "mat2vec": {
        "description": "200-dimensional word vectors of element names, from abstracts of "
        "materials science.",
        "licence": f"{LICENCE}; MIT, Copyright (c) 2019 Authors of Tshitoyan et al. (mat2vec)",
        "origin": "https://github.com/materialsintelligence/mat2vec by way of "
        "https://github.com/Kaaiian/CBFV",
        "note": "As upstream, not standardised.",
    },
    "megnet16": {
        "description": "16-dimensional element vectors that MEGNet learned with formation "
        "energies of the Materials Project.",
        "licence": f"{LICENCE}; BSD-3-Clause, Copyright (c) 2015, Regents of the University of "
        "California (MEGNet)",
        "origin": "https://github.com/materialsvirtuallab/megnet by way of "
        "https://github.com/lrcfmd/ElMD",
        "note": "As upstream, not standardised. Left out are the rows of "
        f"{', '.join(MEGNET_UNTRAINED)}, which upstream never trained. Learned from Materials "
        "Project structures: tests on those may be flattered.",
    },
}


def make(name):
    """Return the table that is shipped under `name`."""
    table = ElementTable.from_element_embeddings(Embedding.load_data(name), metadata=_card(name))
    if name == "megnet16":
        frame = table.to_frame().drop(index=MEGNET_UNTRAINED)
        table = ElementTable(frame, name=name, metadata=table.metadata)
    if name == "magpie":
        table = table.standardize()
    return table


def _card(name):
    source = f"ElementEmbeddings {version('ElementEmbeddings')}"
    return {**CARDS[name], "source": source, "made_by": "tools/make_handmade_tables.py"}


def main(folder="skuae/embedding/tables"):
    """Write all tables into `folder`."""
    for name in CARDS:
        table = make(name)
        table.save(Path(folder) / f"{name}.safetensors")
        print(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
