"""A test of back-ends, for those who write one."""

import json

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from scipy.stats import ortho_group
from sklearn.base import clone
from torch import Tensor

from skuae._elements import N_ELEMENTS
from skuae.crystals import Crystals, as_crystals
from skuae.models._backbone import Backbone, CrystalModule, Inputs
from skuae.models._elements import ElementEmbedding
from skuae.models._registry import decode_params, encode_params, same_backbone

_WIDTH = 5  # columns of the element table
_N_OUTPUTS = 3
_CLOSE = 1e-6  # distances are stored in single precision


def check_backbone(spec: Backbone) -> None:
    """Test that a back-end keeps the contract, on a few small crystals.

    Its network is built and run forward and backward, saved and read, and its outputs must not
    depend on what shares the batch, on merging of equal sites, nor, if it says that it is
    invariant, on how a crystal is written.

    Parameters
    ----------
    spec : Backbone

    Raises
    ------
    TypeError
        If something is not of the class that the contract asks for.
    ValueError
        If something else is wrong; the message says what.

    Examples
    --------
    >>> from skuae.models import CGCNN, check_backbone
    >>> check_backbone(CGCNN(atom_dim=8, n_conv=1))
    """
    if not isinstance(spec, Backbone):
        raise TypeError(f"{spec!r} is no skuae.models.Backbone; derive the class from it")
    with torch.random.fork_rng(devices=[]):
        _check_parameters(spec)
        crystals = as_crystals(_structures())
        inputs = spec.inputs(crystals)
        if not isinstance(inputs, Inputs):
            raise TypeError(f"inputs() must return skuae.models.Inputs; got {type(inputs)}")
        module = _build(spec)
        _check_module(spec, module, crystals)
        _check_gradients(spec, module, crystals)
        _check_reading(spec, module, crystals)
        _check_saving(spec, module, crystals)
        if spec.invariant:
            _check_invariances(spec, module)


def _check_parameters(spec: Backbone) -> None:
    for name, kind in (
        ("native_table", str),
        ("native_frozen", bool),
        ("default_lr", float),
        ("pads", bool),
        ("invariant", bool),
    ):
        if not isinstance(getattr(spec, name, None), kind):
            raise TypeError(
                f"{type(spec).__name__}.{name} must be set, to a {kind.__name__}; see Backbone"
            )
    spec.check()
    try:
        same = same_backbone(clone(spec), spec)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"scikit-learn cannot clone the specification: {error}") from error
    if not same:
        raise ValueError("a clone of the specification has other parameters")
    saved = json.loads(json.dumps(encode_params({"spec": spec})))
    params = saved["spec"]["params"]
    lost = [
        k for k, v in spec.get_params(deep=False).items() if v is not None and params[k] is None
    ]
    if lost or not same_backbone(decode_params(saved)["spec"], spec):
        raise ValueError(
            "a specification that was saved and read has other parameters"
            + (f" (it lost {', '.join(lost)})" if lost else "")
            + "; they must be numbers, texts, booleans, None, other back-ends, or lists of these"
        )


def _build(spec: Backbone, seed: int = 0) -> CrystalModule:
    torch.manual_seed(seed)
    elements = ElementEmbedding(torch.randn(N_ELEMENTS, _WIDTH), frozen=False)
    return spec.build(elements, _N_OUTPUTS).double()


def _check_module(spec: Backbone, module: CrystalModule, crystals: Crystals) -> None:
    if not isinstance(module, CrystalModule):
        raise TypeError(f"build() must return a skuae.models.CrystalModule; got {type(module)}")
    for name in ("elements", "head", "width"):
        if not hasattr(module, name):
            raise ValueError(f"the module lacks the attribute {name!r}; set it in __init__")
    kept = [value.data_ptr() for value in module.state_dict().values() if value.numel()]
    if len(set(kept)) < len(kept):
        raise ValueError(
            "the state of the module has one tensor under two names, as if the elements were "
            "registered twice; let `elements` be a property that returns those of the inner module"
        )
    batch = spec.inputs(crystals).pack(crystals, dtype=torch.float64).batch(range(len(crystals)))
    module.eval()
    vectors, outputs = module.embed(batch), module(batch)
    for name, found, wanted in (
        ("embed(batch)", vectors.shape, (len(crystals), module.width)),
        ("the output", outputs.shape, (len(crystals), _N_OUTPUTS)),
        (
            "first_layer(elements)",
            module.first_layer(module.elements.table()).shape[:1],
            (N_ELEMENTS,),
        ),
    ):
        if tuple(found) != wanted:
            raise ValueError(f"{name} has the shape {tuple(found)}, not {wanted}")
    _same("head(embed(batch)) differs from the output", module.head(vectors), outputs)
    _same("two runs differ in eval mode", module(batch), outputs)
    for key, value in _build(spec).state_dict().items():
        if not torch.equal(value, module.state_dict()[key]):
            raise ValueError(f"{key} differs between two modules that are built from one seed")


def _check_gradients(spec: Backbone, module: CrystalModule, crystals: Crystals) -> None:
    module.train()
    batch = spec.inputs(crystals).pack(crystals, dtype=torch.float64).batch(range(len(crystals)))
    weights = torch.randn(len(crystals), _N_OUTPUTS, dtype=torch.float64)
    module.zero_grad()
    (module(batch) * weights).sum().backward()
    for name, parameter in module.named_parameters():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise ValueError(f"the gradient of {name} is not finite")
    there = np.unique(crystals.composition()[1]) - 1
    gradient = module.elements.table().grad
    if gradient is None or not gradient[there].any(dim=1).all():
        raise ValueError("no gradient reaches the vectors of some elements in the batch")
    module.zero_grad()


def _check_reading(spec: Backbone, module: CrystalModule, crystals: Crystals) -> None:
    """Check that crystals do not feel their batch mates, nor whether equal sites are merged."""
    together = _run(spec, module, crystals)
    alone = torch.cat([_run(spec, module, crystals[[i]]) for i in range(len(crystals))])
    _same("the output for a crystal depends on others in the batch", alone, together)
    apart = _run(spec, module, crystals, merge=False)
    _same("the output depends on whether equal sites are merged", apart, together)


def _check_saving(spec: Backbone, module: CrystalModule, crystals: Crystals) -> None:
    again = _build(decode_params(encode_params({"spec": spec}))["spec"], seed=1)
    again.load_state_dict({k: v.clone() for k, v in module.state_dict().items()})
    if not torch.equal(_run(spec, again, crystals), _run(spec, module, crystals)):
        raise ValueError("a network that was saved and read gives other outputs")


def _check_invariances(spec: Backbone, module: CrystalModule) -> None:
    rng = np.random.default_rng(0)
    expected = _run(spec, module, as_crystals(_structures()))
    for name, change in {
        "the order of the sites": lambda s: Structure.from_sites(
            [s[i] for i in rng.permutation(len(s))]
        ),
        "how the crystal is turned": lambda s: _with(
            s, s.lattice.matrix @ ortho_group.rvs(3, random_state=rng), s.frac_coords
        ),
        "where the cell begins": lambda s: _with(
            s, s.lattice.matrix, s.frac_coords + rng.uniform(-1, 1, 3)
        ),
        "which cell a site is written in": lambda s: _with(
            s, s.lattice.matrix, s.frac_coords + rng.integers(-2, 3, (len(s), 3))
        ),
    }.items():
        changed = _run(spec, module, as_crystals([change(s) for s in _structures()]))
        _same(
            f"the output depends on {name}; set invariant = False if it has to", changed, expected
        )


def _run(spec: Backbone, module: CrystalModule, crystals: Crystals, merge: bool = True) -> Tensor:
    module.eval()
    packed = spec.inputs(crystals, merge=merge).pack(crystals, dtype=torch.float64)
    with torch.no_grad():
        return module(packed.batch(range(len(crystals))))


def _same(message: str, found: Tensor, expected: Tensor) -> None:
    if not expected.isfinite().all():
        raise ValueError("the output is not finite")
    found, expected = found.detach(), expected.detach()
    difference = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
    if not difference <= _CLOSE:
        raise ValueError(f"{message} (by {difference:.1e} of the largest output)")


def _structures() -> list[Structure]:
    """Return crystals with and without symmetry, one with shared sites, and a lone atom."""
    rocksalt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    triclinic = Structure(
        Lattice.from_parameters(4.1, 5.2, 6.3, 81, 97, 108),
        ["Ca", "Ti", "O", "O"],
        [[0.03, 0.01, 0.02], [0.51, 0.47, 0.55], [0.27, 0.81, 0.44], [0.66, 0.12, 0.9]],
    )
    alloy = Structure(
        Lattice.orthorhombic(3.9, 4.1, 4.4),
        [{"Cu": 0.75, "Au": 0.25}, {"Cu": 0.5}, "Au"],
        [[0.0, 0.0, 0.0], [0.0, 0.5, 0.45], [0.5, 0.0, 0.55]],
    )
    lone = Structure(Lattice.cubic(40), ["Ar"], [[0.1, 0.2, 0.3]])
    return [rocksalt, triclinic, alloy, lone]


def _with(structure: Structure, lattice: np.ndarray, frac_coords: np.ndarray) -> Structure:
    return Structure(Lattice(lattice), structure.species_and_occu, frac_coords)
