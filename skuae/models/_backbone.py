"""What the specifications of back-ends share."""

import math
from numbers import Integral, Real

from sklearn.base import BaseEstimator


class Backbone(BaseEstimator):
    """Parameters of a graph network, its graphs and its module.

    Attributes
    ----------
    native_table : str
        Element table to use where none is given.
    native_frozen : bool
        Whether that table holds features, which are not trained.
    default_lr : float
        What ``lr="auto"`` stands for.
    clip_norm : float or None
        Largest norm of the gradient.
    """

    native_table: str
    native_frozen: bool
    default_lr: float
    clip_norm: float | None = None

    def check(self):
        """Raise ValueError at the first parameter that makes no sense."""
        raise NotImplementedError

    def graph_of(self, crystals, merge=True):
        """Return the graphs that the module reads.

        Parameters
        ----------
        crystals : Crystals
        merge : bool, default=True
            Whether equal sites may be one; not if they are to know where they are.

        Returns
        -------
        CrystalGraphs or ReducedGraphs
        """
        raise NotImplementedError

    def build(self, table, frozen, n_outputs, coords=None):
        """Return the module, its weights drawn from torch's global generator.

        Parameters
        ----------
        table : Tensor of shape (118, d)
            Element vectors.
        frozen : bool
            Whether they stay as they are.
        n_outputs : int
        coords : tuple of Tensor of shape (c, 3) and (c,), or None
            Map of the coordinates, for sites that know where they are.

        Returns
        -------
        torch.nn.Module
            From a `CrystalBatch` to (B, n_outputs); with `elements`, `first_layer`, which reads
            the element vectors, and `head`, the last layer.
        """
        raise NotImplementedError

    def _check_at_least(self, least, *names):
        """Raise ValueError unless these parameters are integers, `least` or more."""
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be an integer, at least {least}; got {value!r}")

    def _check_cutoff(self):
        """Raise ValueError unless `cutoff` is a sensible number of Å."""
        if not isinstance(self.cutoff, Real) or not 0.5 <= self.cutoff < math.inf:
            raise ValueError(f"cutoff must be a number of Å, at least 0.5; got {self.cutoff!r}")
