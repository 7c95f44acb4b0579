"""Every back-end of the registry, small enough for tests that train."""

from skuae.models import BACKBONES, CGCNN, Backbone

_SMALL = {
    "hidden_dim": 8,
    "atom_dim": 8,
    "block_dim": 4,
    "expansion_dim": 8,
    "d_model": 8,
    "n_heads": 2,
    "dim_feedforward": 8,
    "d_ff": 8,
    "gnn": CGCNN(atom_dim=8, n_conv=1, n_hidden=0),
    "n_conv": 1,
    "n_blocks": 2,
    "n_alignn": 1,
    "n_gcn": 1,
    "n_layers": 1,
    "n_edge_layers": 2,
    "n_bins": 8,
    "site_dim": 8,
    "bond_dim": 8,
    "n_capsules": 3,
    "capsule_dim": 8,
    "crystal_dim": 8,
}


def small(kind: type[Backbone], **params: object) -> Backbone:
    """Return a back-end with all of these parameters that it has."""
    known = kind().get_params(deep=False)
    return kind(**{k: v for k, v in {**_SMALL, **params}.items() if k in known})


SMALL = {name: small(kind) for name, kind in BACKBONES.items()}
