"""A test of back-ends, for those who write one."""

import json
from numbers import Real

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from scipy.stats import ortho_group
from sklearn.base import clone
from torch import Tensor

from skuae._elements import N_ELEMENTS
from skuae.crystals import CrystalBatch, Crystals, PackedTensors, as_crystals
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
        before = encode_params({"spec": spec})
        _check_parameters(spec)
        crystals = as_crystals(_structures())
        subject = _Subject(spec, crystals)
        module = _build(spec)
        if encode_params({"spec": spec}) != before:
            raise ValueError(
                "the specification has changed its own parameters; leave them as given"
            )
        _check_module(subject, module)
        _check_gradients(subject, module)
        _check_reading(subject, module)
        _check_saving(subject, module)
        if spec.invariant:
            _check_invariances(subject, module)


class _Subject:
    """A specification, and crystals with its inputs, packed once."""

    def __init__(self, spec: Backbone, crystals: Crystals) -> None:
        self.spec, self.crystals = spec, crystals
        self.merged, self.whole = (self._pack(crystals, merge) for merge in (True, False))
        if len(self.whole.batch(range(len(crystals))).numbers) != crystals.n_sites:
            raise ValueError("inputs(crystals, merge=False) must keep all sites; it merges some")

    def _pack(self, crystals: Crystals, merge: bool) -> PackedTensors:
        inputs = self.spec.inputs(crystals, merge=merge)
        if not isinstance(inputs, Inputs):
            raise TypeError(f"inputs() must return skuae.models.Inputs; got {type(inputs)}")
        return inputs.pack(crystals, dtype=torch.float64)

    def batch(self) -> CrystalBatch:
        return self.merged.batch(range(len(self.crystals)))

    def outputs(self, module: CrystalModule, packed: PackedTensors | None = None) -> Tensor:
        """Return what a module gives for all crystals, in eval mode."""
        packed = self.merged if packed is None else packed
        module.eval()
        with torch.no_grad():
            return module(packed.batch(range(len(packed))))

    def outputs_for(self, module: CrystalModule, structures: list[Structure]) -> Tensor:
        return self.outputs(module, self._pack(as_crystals(structures), merge=True))


def _check_parameters(spec: Backbone) -> None:
    for name, kind in (
        ("native_table", str),
        ("native_frozen", bool),
        ("default_lr", Real),
        ("pads", bool),
        ("invariant", bool),
    ):
        if not isinstance(getattr(spec, name, None), kind):
            raise TypeError(
                f"{type(spec).__name__}.{name} must be set, to a {kind.__name__}; see Backbone"
            )
    for name in ("default_lr", "clip_norm"):
        value = getattr(spec, name)
        if value is not None and not (isinstance(value, Real) and float(value) > 0):
            raise ValueError(f"{type(spec).__name__}.{name} must be above 0; got {value!r}")
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


def _build(spec: Backbone, seed: int = 0, n_outputs: int = _N_OUTPUTS) -> CrystalModule:
    torch.manual_seed(seed)
    elements = ElementEmbedding(torch.randn(N_ELEMENTS, _WIDTH), frozen=False)
    return spec.build(elements, n_outputs).double()


def _check_module(subject: _Subject, module: CrystalModule) -> None:
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
    _check_shapes(subject, module)
    for key, value in _build(subject.spec).state_dict().items():
        if not torch.equal(value, module.state_dict()[key]):
            raise ValueError(f"{key} differs between two modules that are built from one seed")


def _check_shapes(subject: _Subject, module: CrystalModule) -> None:
    batch, n = subject.batch(), len(subject.crystals)
    before = {name: column.clone() for name, column in batch.columns.items()}
    module.eval()
    try:
        vectors, outputs = module.embed(batch), module(batch)
        single = subject.outputs(_build(subject.spec, n_outputs=1))
    except RuntimeError as error:
        raise ValueError(
            f"the network does not run in double precision ({error}); make tensors with the dtype "
            "of those in the batch"
        ) from error
    rows = len(module.first_layer(module.elements.table()))
    for name, found, wanted in (
        ("embed(batch)", tuple(vectors.shape), (n, module.width)),
        ("the output", tuple(outputs.shape), (n, _N_OUTPUTS)),
        ("the output of a network with one output", tuple(single.shape), (n, 1)),
        ("first_layer(elements.table())", (rows,), (N_ELEMENTS,)),
    ):
        if found != wanted:
            raise ValueError(f"{name} has the shape {found}, not {wanted}")
    if any(not torch.equal(column, before[name]) for name, column in batch.columns.items()):
        raise ValueError("the network writes into its batch; leave the tensors in it as they are")
    _same("two runs differ in eval mode", module(batch), outputs)
    _same("head(embed(batch)) differs from the output", module.head(vectors), outputs)
    _check_layers(subject, module)
    vary = subject.spec.augmentation()
    if vary is not None:
        varied = vary(batch, torch.Generator().manual_seed(0))
        if not isinstance(varied, CrystalBatch) or len(varied) != n:
            raise TypeError("augmentation() must give a function from a batch to a batch like it")


def _check_layers(subject: _Subject, module: CrystalModule) -> None:
    """Check that layers end with `embed`, and do not depend on the batch or on merging."""
    batch, rows = subject.batch(), range(len(subject.crystals))
    with torch.no_grad():
        layers, last = module.layer_vectors(batch), module.embed(batch)
        alone = [module.layer_vectors(subject.merged.batch([row])) for row in rows]
        whole = module.layer_vectors(subject.whole.batch(rows))
    if list(layers)[-1:] != ["embed"]:
        raise ValueError('layer_vectors(batch) must be a dict whose last key is "embed"')
    if any(list(other) != list(layers) for other in (*alone, whole)):
        raise ValueError("layer_vectors(batch) has other names for another batch")
    for name, found in layers.items():
        if found.ndim != 2 or len(found) != len(rows):
            raise ValueError(
                f"layer_vectors(batch)[{name!r}] has the shape {tuple(found.shape)}, not "
                f"({len(rows)}, width)"
            )
        one_by_one = torch.cat([other[name] for other in alone])
        _same(f"layer {name!r} of a crystal depends on others in the batch", one_by_one, found)
        _same(f"layer {name!r} depends on whether equal sites are merged", whole[name], found)
    _same("layer_vectors(batch)['embed'] differs from embed(batch)", layers["embed"], last)


def _check_gradients(subject: _Subject, module: CrystalModule) -> None:
    module.train()
    weights = torch.randn(len(subject.crystals), _N_OUTPUTS, dtype=torch.float64)
    module.zero_grad()
    (module(subject.batch()) * weights).sum().backward()
    for name, parameter in module.named_parameters():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise ValueError(f"the gradient of {name} is not finite")
    there = np.unique(subject.crystals.composition()[1]) - 1
    gradient = module.elements.table().grad
    if gradient is None or not gradient[there].any(dim=1).all():
        raise ValueError("no gradient reaches the vectors of some elements in the batch")
    module.zero_grad()


def _check_reading(subject: _Subject, module: CrystalModule) -> None:
    """Check that predictions do not depend on the batch or on merging of equal sites."""
    together = subject.outputs(module)
    with torch.no_grad():
        rows = range(len(subject.crystals))
        alone = torch.cat([module(subject.merged.batch([row])) for row in rows])
    _same("the output for a crystal depends on others in the batch", alone, together)
    apart = subject.outputs(module, subject.whole)
    _same("the output depends on whether equal sites are merged", apart, together)


def _check_saving(subject: _Subject, module: CrystalModule) -> None:
    again = _build(decode_params(encode_params({"spec": subject.spec}))["spec"], seed=1)
    again.load_state_dict({k: v.clone() for k, v in module.state_dict().items()})
    if not torch.equal(subject.outputs(again), subject.outputs(module)):
        raise ValueError("a network that was saved and read gives other outputs")


def _check_invariances(subject: _Subject, module: CrystalModule) -> None:
    rng = np.random.default_rng(0)
    expected = subject.outputs(module)
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
        changed = subject.outputs_for(module, [change(s) for s in _structures()])
        _same(
            f"the output depends on {name}; set invariant = False if it has to", changed, expected
        )


def _same(message: str, found: Tensor, expected: Tensor) -> None:
    if not expected.isfinite().all():
        raise ValueError("the output is not finite")
    found, expected = found.detach(), expected.detach()
    difference = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
    if not difference <= _CLOSE:
        raise ValueError(f"{message} (by {difference:.1e} of the largest output)")


def _structures() -> list[Structure]:
    """Return crystals with and without symmetry, one with shared sites, and a lone atom.

    In rutile, equal sites have equal surroundings in other directions.
    """
    faces = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    rocksalt = Structure(Lattice.cubic(5.64), ["Na"] * 4 + ["Cl"] * 4, [*faces, *(faces + 0.5) % 1])
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
    rutile = Structure.from_spacegroup(
        136, Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    lone = Structure(Lattice.cubic(40), ["Ar"], [[0.1, 0.2, 0.3]])
    return [rocksalt, triclinic, alloy, rutile, lone]


def _with(structure: Structure, lattice: np.ndarray, frac_coords: np.ndarray) -> Structure:
    return Structure(Lattice(lattice), structure.species_and_occu, frac_coords)
