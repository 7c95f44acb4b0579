"""A back-end with its element vectors, which packs crystals and builds the network."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch

from skuae._progress import show_progress
from skuae.crystals import Crystals, PackedTensors
from skuae.embedding import ElementTable
from skuae.models import Backbone, CrystalModule, Elements, encode_params, set_precision
from skuae.training._defaults import library_defaults
from skuae.training._net import CrystalNet
from skuae.training._settings import Settings
from skuae.training._task import FitData, FittedTask


class ElementInput(ABC):
    """Where the element vectors of a network come from.

    Attributes
    ----------
    seen : ndarray of bool of shape (118,)
        Elements of the training rows.
    """

    seen: np.ndarray

    @property
    def keeps_sites(self) -> bool:
        """Whether sites have to know where they are, so that equal ones are not merged."""
        return False

    @abstractmethod
    def build(self, backbone: Backbone) -> Elements:
        """Return the module from a batch to the element vectors of its sites.

        Parameters
        ----------
        backbone : Backbone

        Returns
        -------
        Elements
        """

    @abstractmethod
    def check(self, crystals: Crystals) -> None:
        """Raise, or warn, at the first row with an element that is not known.

        Parameters
        ----------
        crystals : Crystals

        Raises
        ------
        ValueError
        """

    @abstractmethod
    def lr_ratio(self, ratio: float) -> float:
        """Return the learning rate of the vectors relative to all else.

        Parameters
        ----------
        ratio : float
            What the user asked for.

        Returns
        -------
        float
        """

    @abstractmethod
    def finished(
        self,
        network: "Network",
        net: CrystalNet,
        data: FitData,
        settings: Settings,
        task: FittedTask,
    ) -> "ElementInput":
        """Return what is known after training; vectors that were never trained may be set.

        Parameters
        ----------
        network : Network
            The one that was trained.
        net : CrystalNet
        data : FitData
        settings : Settings
        task : FittedTask
            The arguments and the result of `fit_network`.

        Returns
        -------
        ElementInput
        """

    @abstractmethod
    def learned(self, module: CrystalModule, backbone: Backbone) -> ElementTable:
        """Return the element vectors of a trained network.

        Parameters
        ----------
        module : CrystalModule
        backbone : Backbone

        Returns
        -------
        ElementTable
        """

    @abstractmethod
    def state(self) -> tuple[dict, dict[str, np.ndarray]]:
        """Return what a saved model needs.

        Returns
        -------
        config : dict
            What JSON can hold.
        arrays : dict of str to ndarray
        """


@dataclass(frozen=True, eq=False)
class Network:
    """What an estimator trains.

    Parameters
    ----------
    backbone : Backbone
    elements : ElementInput
    dtype : torch.dtype, default=torch.float32
    precision : {"float32", "bf16"}, default="float32"
        Of the vectors of edges and angles.
    """

    backbone: Backbone
    elements: ElementInput
    dtype: torch.dtype = torch.float32
    precision: str = "float32"

    def pack(
        self,
        crystals: Crystals,
        device: torch.device | str,
        *,
        merge: bool = True,
        verbose: int = 0,
    ) -> PackedTensors:
        """Return crystals on a device, with all that the network reads of them.

        Parameters
        ----------
        crystals : Crystals
        device : torch.device or str
        merge : bool, default=True
            Whether equal sites may be represented by one.
        verbose : int, default=0
            1 shows a progress bar while graphs are built.

        Returns
        -------
        PackedTensors
        """
        keeps_sites = self.elements.keeps_sites
        with show_progress(verbose):
            inputs = self.backbone.inputs(crystals, merge=merge and not keeps_sites)
        return inputs.pack(crystals, device, self.dtype, coords="wrapped" if keeps_sites else None)

    def build(self, n_outputs: int) -> CrystalModule:
        """Return the module, its weights drawn from torch's global generator.

        Parameters
        ----------
        n_outputs : int

        Returns
        -------
        CrystalModule
        """
        with library_defaults():
            elements = self.elements.build(self.backbone)
            module = self.backbone.build(elements, n_outputs).to(self.dtype)
        set_precision(module, self.precision)
        return module

    def check(self, crystals: Crystals) -> None:
        """Raise if nothing is known of an element; warn if the network can only guess.

        Parameters
        ----------
        crystals : Crystals

        Raises
        ------
        ValueError
            It names the first row with such an element.
        """
        self.elements.check(crystals)

    def finished(
        self, net: CrystalNet, data: FitData, settings: Settings, task: FittedTask
    ) -> "Network":
        """Return the network as it is after training.

        Parameters
        ----------
        net : CrystalNet
        data : FitData
        settings : Settings
        task : FittedTask
            The arguments and the result of `fit_network`.

        Returns
        -------
        Network
        """
        return replace(self, elements=self.elements.finished(self, net, data, settings, task))

    def element_table(self, module: CrystalModule) -> ElementTable:
        """Return the element vectors of a trained network.

        Parameters
        ----------
        module : CrystalModule

        Returns
        -------
        ElementTable
        """
        with library_defaults():
            return self.elements.learned(module, self.backbone)

    def state(self) -> tuple[dict, dict[str, np.ndarray]]:
        """Return what a saved model needs.

        Returns
        -------
        config : dict
            All parameters of the back-end, also those that have their defaults today, the
            precision, and what the element input needs.
        arrays : dict of str to ndarray
        """
        config, arrays = self.elements.state()
        backbone = encode_params({"backbone": self.backbone})
        return {**backbone, "precision": self.precision, "elements": config}, arrays
