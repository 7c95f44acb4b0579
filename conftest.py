"""Leave out of the doctests what cannot be imported here, since its extra is not installed."""

from importlib.util import find_spec

MODULES = {
    "mace": "skuae/potentials/_mace_module.py",
    "sevenn": "skuae/potentials/_sevennet_module.py",
    "torch_sim": "skuae/potentials/_torchsim.py",  # needs Python 3.12
}
collect_ignore = [path for package, path in MODULES.items() if find_spec(package) is None]
