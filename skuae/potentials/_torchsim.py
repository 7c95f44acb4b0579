"""A potential as a model of TorchSim."""

from typing import Any

import torch
from torch import Tensor

from skuae.crystals import Crystals
from skuae.potentials._contract import GPA
from skuae.potentials._fitted import FittedPotential
from skuae.training import library_defaults

try:
    from torch_sim.models.interface import ModelInterface
except ImportError as error:
    raise ImportError(
        'to_torchsim needs TorchSim and Python 3.12 or later: pip install "skuae[torchsim]"'
    ) from error


class TorchSimPotential(ModelInterface):
    """Energies (eV), forces (eV/Å) and stresses (eV/Å³) of states of TorchSim.

    Parameters
    ----------
    fitted : FittedPotential
    max_edges : int
        Edges that are computed at once; on a CPU, 8,192 at most.
    """

    def __init__(self, fitted: FittedPotential, max_edges: int) -> None:
        super().__init__()
        self._fitted, self._max_edges = fitted, max_edges
        self._device, self._dtype = fitted.device, fitted.dtype
        self._compute_stress = self._compute_forces = True

    def forward(self, state: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return what TorchSim asks for.

        Parameters
        ----------
        state : torch_sim.SimState
            B systems with N atoms.
        **kwargs : object
            Not read.

        Returns
        -------
        dict of Tensor
            ``"energy"`` (B,), ``"forces"`` (N, 3) and ``"stress"`` (B, 3, 3), on the device and in
            the precision of the state.

        Raises
        ------
        ValueError
            If a system is not periodic in all directions, makes no sense, or has an element that
            was not trained on.
        """
        with library_defaults():
            crystals = _crystals(state)
            found = self._fitted.predict(crystals, self._max_edges, derivatives=True)
        columns: dict[str, Any] = {
            "energy": found.energies,
            "forces": found.forces,
            "stress": None if found.stresses is None else found.stresses / GPA,
        }
        return {
            name: torch.tensor(values, device=state.device, dtype=state.dtype)
            for name, values in columns.items()
        }


def _crystals(state: Any) -> Crystals:
    """Return the systems of a state. Its cells hold vectors in columns, ours in rows."""
    if not torch.as_tensor(state.pbc).all():
        raise ValueError(
            "a system is not periodic in all three directions; a potential of skuae needs crystals:"
            " put it into a cell with vacuum, and set pbc=True"
        )
    cells = state.cell.detach().double().mT
    positions = state.positions.detach().double()
    coords = torch.einsum("ni,nij->nj", positions, torch.linalg.inv(cells)[state.system_idx])
    sizes = torch.bincount(state.system_idx, minlength=len(cells))
    offsets = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
    columns = (state.atomic_numbers, coords, cells, offsets)
    return Crystals(*(column.cpu().numpy() for column in columns))
