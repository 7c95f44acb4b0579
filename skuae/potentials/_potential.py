"""`CrystalPotential`: interatomic potentials as estimators of scikit-learn."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from skuae._progress import show_progress
from skuae.embedding import crystals_and_table
from skuae.potentials._checks import check_at_least, check_flags, check_numbers
from skuae.potentials._fit import fit_potential, loss_of
from skuae.potentials._labels import read_labels
from skuae.potentials._predicting import PredictingPotential, index_of
from skuae.potentials._relax import Relaxation, check_free, relax
from skuae.potentials._scores import error_table
from skuae.training import library_defaults


class CrystalPotential(PredictingPotential):
    """Interatomic potential: energies, forces and stresses of crystals.

    Parameters
    ----------
    backbone : {"chgnet", "m3gnet", "mace", "sevennet"}, specification or model, default="chgnet"
        The network; a specification is ``CHGNet()``, ``M3GNet()``, ``MACE()`` or ``SevenNet()``. A
        ``mace.modules.ScaleShiftMACE`` of the mace-torch package brings its weights, from which
        training starts; a copy is trained.
    embedding : str, path, ElementTable, DataFrame or None, default=None
        Initial vectors of elements. None draws random vectors of H to Pu, as published, or takes
        those of a model. A table of another width than the network passes a linear layer first.
    freeze_embedding : bool, default=False
        Whether these vectors are not trained.
    reference_energies : "fit", dict or None, default="fit"
        Energies of elements in eV per atom, by symbol, to which the network's energies are added.
        ``"fit"`` takes least squares without an intercept, with `init_from` on the residuals of
        that potential. None takes 0, or those of `init_from`. The same holds for a model. A dict
        names all elements of the training rows, or with `init_from` those that are to change.
    energy_weight, force_weight : float, default=1.0
        Weights of energies per atom and of components of forces in the loss.
    stress_weight, magmom_weight : float, default=0.1
        Weights of components of stresses and of magnetic moments in the loss. Only CHGNet
        has moments; the others ignore them.
    loss : {"huber", "mse", "mae"}, default="huber"
        Each kind of label is averaged over the known ones of a batch, in eV per atom, eV/Å, GPa and
        Bohr magnetons.
    huber_delta : float, default=0.1
        Error at which the Huber loss changes from quadratic to linear.
    max_edges : int, default=200000
        Edges that are computed at once; on a CPU, 8,192 at most. A larger batch is computed in
        parts, with the same result up to rounding. Training takes about 70 kB per edge.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the network.
    max_epochs : int, default=100
    batch_size : int, default=16
        Crystals per step.
    lr : float, default=1e-3
        Peak learning rate.
    lr_schedule : {"cosine", "onecycle", "constant"}, default="cosine"
    weight_decay : float, default=0.0
        Weight decay of AdamW.
    clip_norm : float or None, default=10.0
        Largest norm of the gradient.
    ema_decay : float or None, default=None
        Keep an exponential mean of the weights of all steps, of which a step leaves so much, and
        predict with it: 0.99 or 0.999 are usual. Among the first n steps it is at most
        (1 + n) / (10 + n).
    early_stopping : bool, default=False
        Hold back a random part of the rows, or take `X_val` of `fit`. Their loss is measured after
        each epoch, with the mean of weights if there is one. The weights of the best epoch are
        kept.
    validation_fraction : float, default=0.1
        Part of the rows that `early_stopping` holds back.
    n_iter_no_change : int, default=10
        With `early_stopping`, training ends after so many epochs without a smaller loss.
    init_from : str, path, CrystalPotential, model of mace-torch or None, default=None
        Start of the training: ``"chgnet-0.3.0"``, ``"chgnet-0.2.0"`` or ``"chgnet-r2scan"`` (they
        need the chgnet package), ``"sevennet-0"`` (sevenn package), the folder of a saved
        potential, or a fitted one.
    checkpoint_dir : path or None, default=None
        Folder for the state of training, written at most every ten seconds. The same fit, started
        again, continues from there with the same result, bit by bit; `random_state` must be an int.
    device : str, default="auto"
    random_state : int, RandomState or None, default=None
    verbose : int, default=0
        1 prints the losses of every epoch.

    Attributes
    ----------
    reference_energies_ : dict of float by symbol
        In eV per atom, for the elements of training.
    element_table_ : ElementTable
        Vectors of elements after fit.
    target_names_, target_units_ : list of str
        What `predict` returns: the energy, in eV per cell.
    history_ : list of dict
        Number, ``"train_loss"`` and seconds of every epoch, and ``"valid_loss"`` with
        `early_stopping`.

    Notes
    -----
    Energies are those of cells, in eV, with the zero of the labels. Forces are the negative
    derivative by positions, in eV/Å. Stresses are the derivative by strain per volume, in GPa,
    positive under tension. Disordered crystals and elements without training data are refused.

    The published weights are those of the chgnet package (Deng et al., Nature Machine Intelligence
    5, 1031 (2023); modified BSD licence; 1.7 MB) and of the sevenn package (Park et al., J. Chem.
    Theory Comput. 20, 4857 (2024); MIT licence), trained on MPtrj: relaxations of the Materials
    Project. Energies are those of PBE and PBE+U with the corrections of MP2020. Potentials trained
    on such data underestimate the curvature of the energy far from equilibrium.

    Examples
    --------
    >>> from skuae.datasets import make_toy_crystals
    >>> from skuae.potentials import CHGNet, CrystalPotential
    >>> X = make_toy_crystals(8, random_state=0).structures
    >>> y = [{"energy": -3.0 * len(crystal)} for crystal in X]
    >>> small = CHGNet(dim=8, n_blocks=2, n_radial=5, n_angular=5)
    >>> model = CrystalPotential(small, max_epochs=2, random_state=0).fit(X, y)
    >>> model.predict(X).shape, model.predict_forces(X)[0].shape[1]
    ((8,), 3)
    """

    def __init__(
        self,
        backbone: Any = "chgnet",
        *,
        embedding: Any = None,
        freeze_embedding: bool = False,
        reference_energies: Any = "fit",
        energy_weight: float = 1.0,
        force_weight: float = 1.0,
        stress_weight: float = 0.1,
        magmom_weight: float = 0.1,
        loss: str = "huber",
        huber_delta: float = 0.1,
        max_edges: int = 200_000,
        dtype: str = "float32",
        max_epochs: int = 100,
        batch_size: int = 16,
        lr: float = 1e-3,
        lr_schedule: str = "cosine",
        weight_decay: float = 0.0,
        clip_norm: float | None = 10.0,
        ema_decay: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        init_from: Any = None,
        checkpoint_dir: Any = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.embedding = embedding
        self.freeze_embedding = freeze_embedding
        self.reference_energies = reference_energies
        self.energy_weight = energy_weight
        self.force_weight = force_weight
        self.stress_weight = stress_weight
        self.magmom_weight = magmom_weight
        self.loss = loss
        self.huber_delta = huber_delta
        self.max_edges = max_edges
        self.dtype = dtype
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.init_from = init_from
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # -- training ---------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, X_val: Any = None, y_val: Any = None) -> Self:
        """Train the potential.

        Parameters
        ----------
        X : array-like of crystals of shape (n_samples,)
            Crystals or anything that `as_crystals` reads.
        y : DataFrame, list of dicts or None
            Columns or keys: ``energy`` (eV per cell), ``forces`` ((n_sites, 3), eV/Å), ``stress``
            ((3, 3), GPa, positive under tension) and ``magmoms`` ((n_sites,), Bohr magnetons). Each
            may be left out, in all rows or, as None or NaN, in some. None takes what the
            calculators of ASE Atoms hold.
        X_val, y_val : same, or None
            For `early_stopping`, to hold back in place of rows of X: such as all frames of some
            materials. Each of their elements must be in a row of X with a known label.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter is invalid, a crystal is disordered, a label has a wrong shape (the error
            names the row), no label is known, or a kind of label is known only in the rows to train
            on or only in those held back.

        Warns
        -----
        UserWarning
            The forces of a cell do not add up to zero. The row is named.
        """
        self.__dict__.pop("fitted_", None)  # if this fit fails, the potential is not fitted
        with library_defaults():
            self.fitted_, self.history_ = fit_potential(self, X, y, X_val, y_val)
        return self

    # -- errors -----------------------------------------------------------------------------------

    def evaluate(self, X: Any, y: Any = None) -> pd.DataFrame:
        """Return errors of energies, forces, stresses and moments.

        Parameters
        ----------
        X : array-like of crystals of shape (n_samples,)
        y : DataFrame, list of dicts or None
            As of `fit`.

        Returns
        -------
        DataFrame
            Rows: ``model``, and ``constant``: energies of elements fitted to y itself, and zero for
            forces, stresses and moments. Columns: mean absolute and root mean squared errors of
            energies (meV/atom), forces (eV/Å), stresses (GPa) and moments (Bohr magnetons); NaN
            where no label is known.
        """
        crystals, found = self._predict(X, derivatives=True)
        labels = read_labels(y, crystals, X)
        return error_table(found, labels, crystals)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the negative loss, with the weights and the kind of loss of training.

        A search over `loss`, `huber_delta` or weights of labels needs another score, for theirs are
        of other kinds: ``scoring=lambda model, X, y: -model.evaluate(X, y).loc["model", "forces MAE
        (eV/Å)"]``, say.

        Parameters
        ----------
        X : array-like of crystals of shape (n_samples,)
        y : DataFrame, list of dicts or None
            As of `fit`.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If no label with a weight is known.
        """
        crystals, found = self._predict(X, derivatives=True)
        labels, sizes = read_labels(y, crystals, X), crystals.sizes
        settings = loss_of(self)
        total, n_known = 0.0, 0
        for weight, ours, theirs in zip(
            settings.weights,
            (found.energies / sizes, found.forces, found.stresses, found.magmoms),
            (labels.energies / sizes, labels.forces, labels.stresses, labels.magmoms),
            strict=True,
        ):
            known = np.isfinite(theirs)
            if weight and known.any() and ours is not None:
                errors = torch.tensor(ours[known] - theirs[known])
                total += weight * settings.measure(errors).mean().item()
                n_known += int(known.sum())
        if not n_known:
            raise ValueError("y has no known label with a weight: there is nothing to score")
        return -total

    # -- moving atoms -----------------------------------------------------------------------------

    def calculator(self, *, skin: float = 0.5) -> Any:
        """Return a calculator of ASE, for molecular dynamics and other methods of ASE.

        Parameters
        ----------
        skin : float, default=0.5
            Neighbours are searched up to the cutoff plus this distance in Å. They are searched
            again once an atom has moved by half of it.

        Returns
        -------
        ase.calculators.calculator.Calculator
            Energy, energies of atoms, forces, stress in ASE's order and units, and magmoms if
            trained on them.

        Raises
        ------
        ImportError
            If ASE is not installed.
        """
        check_is_fitted(self)
        check_numbers(SimpleNamespace(skin=skin), "skin", zero=True)
        from skuae.potentials._calculator import PotentialCalculator

        return PotentialCalculator(self.fitted_, skin)

    def to_torchsim(self) -> Any:
        """Return a model of TorchSim, for its relaxations and dynamics of many crystals at once.

        Returns
        -------
        torch_sim.models.interface.ModelInterface
            Energies, forces and stresses of periodic systems, in the units of TorchSim.

        Raises
        ------
        ImportError
            If TorchSim is not installed; it needs Python 3.12 or later.
        """
        check_is_fitted(self)
        from skuae.potentials._torchsim import TorchSimPotential

        return TorchSimPotential(self.fitted_, self.max_edges)

    def relax(
        self, X: Any, *, fmax: float = 0.05, cell: bool = True, max_steps: int = 500
    ) -> Relaxation:
        """Relax crystals, many at once, by FIRE.

        Parameters
        ----------
        X : array-like of crystals of shape (n_samples,)
        fmax : float, default=0.05
            A crystal has converged if all forces are below this, in eV/Å, and with relaxed cells
            all entries of stress times volume per atom, in eV.
        cell : bool, default=True
            Whether to relax cells as well.
        max_steps : int, default=500

        Returns
        -------
        Relaxation
            ``crystals`` and ``table``, in the order of X. A crystal that fails is returned in its
            last state, with the reason.

        Raises
        ------
        ValueError
            If a crystal cannot be read, is disordered, has an element that was not trained on, or
            has atoms that must not move: constraints of ASE, or selective dynamics of a POSCAR file
            or a structure. No crystal is relaxed then.
        """
        check_is_fitted(self)
        params = SimpleNamespace(fmax=fmax, cell=cell, max_steps=max_steps)
        check_numbers(params, "fmax")
        check_flags(params, "cell")
        check_at_least(params, "max_steps", 0)
        with library_defaults(), show_progress(self.verbose):
            X = list(X) if isinstance(X, Iterator) else X
            crystals, _ = crystals_and_table(X)
            check_free(X, crystals)
            self.fitted_.check(crystals)
            return relax(
                self.fitted_, crystals, fmax=fmax, cell=cell, max_steps=max_steps,
                max_edges=self.max_edges, index=index_of(X),
            )  # fmt: skip

    # -- what scikit-learn asks for ---------------------------------------------------------------

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags

    def __sklearn_clone__(self) -> Self:
        # scikit-learn clones parameters too, and a clone of a fitted potential is not fitted.
        copy: Self = super().__sklearn_clone__()
        return copy.set_params(init_from=self.init_from)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fitted_")
