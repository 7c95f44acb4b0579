"""What `import skuae` offers: names that exist, are documented, and cost little to import."""

import ast
import contextlib
import dataclasses
import importlib
import importlib.resources
import inspect
import pkgutil
import subprocess
import sys

import pytest
from numpydoc.validate import validate

import skuae

# Names that users, examples and papers rely on.
FIXED = {
    "skuae": [
        "CrystalGNNClassifier",
        "CrystalGNNRegressor",
        "CrystalStackingClassifier",
        "CrystalStackingRegressor",
        "CrystalTransformerRegressor",
        "CrystalVotingRegressor",
        "Crystals",
        "ElementTable",
        "UAETransformer",
        "analysis",
        "as_crystals",
        "crystal_pipeline",
        "datasets",
        "models",
        "potentials",
    ],
    "skuae.datasets": ["load_mp_mini", "make_toy_crystals", "read_folder"],
    "skuae.featurizers": ["BackboneTransformer", "PotentialTransformer", "SymmetryTransformer"],
    "skuae.models": ["CGCNN"],
    "skuae.potentials": ["CHGNet", "CrystalPotential", "M3GNet", "MACE", "SevenNet"],
}

# What may be missing on a user's machine; see the extras in pyproject.toml.
OPTIONAL = (
    "ase",
    "catboost",
    "chgnet",
    "dtaidistance",
    "elementembeddings",
    "graspologic_native",
    "matminer",
    "mendeleev",
    "sevenn",
    "umap",
)

# What numpydoc may not find in a docstring of ours.
DOCUMENTED = {
    "GL07": "sections in the order of numpydoc",
    "GL08": "a docstring",
    "PR01": "every parameter",
    "PR02": "no parameter that does not exist",
    "PR03": "parameters in the order of the signature",
    "PR04": "the type of every parameter",
    "PR10": "a space before the colon of a parameter",
    "RT01": "what is returned",
    "SS01": "a summary",
    "SS02": "a summary with a capital",
    "SS03": "a summary with a period",
    "SS06": "a summary in one line",
    "YD01": "what is yielded",
}


def public_modules():
    names = ["skuae"]
    for module in pkgutil.walk_packages(skuae.__path__, "skuae."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            names.append(module.name)
    return names


def public_objects():
    """Yield the qualified name of every public function, class, method and property once."""
    seen = set()
    for module_name in public_modules():
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", ()):
            item = getattr(module, name, None)
            if id(item) in seen or not (inspect.isclass(item) or inspect.isfunction(item)):
                continue
            seen.add(id(item))
            yield f"{module_name}.{name}"
            if inspect.isclass(item):
                for member, value in vars(item).items():
                    documented = inspect.isroutine(value) or isinstance(
                        value, (property, classmethod, staticmethod)
                    )
                    if not value.__doc__ and any(member in vars(b) for b in item.__mro__[1:-1]):
                        continue  # the base class says it
                    if documented and not member.startswith("_"):
                        yield f"{module_name}.{name}.{member}"


@pytest.mark.parametrize("module_name", public_modules())
def test_all_lists_names_that_exist(module_name):
    module = importlib.import_module(module_name)
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing
    assert not [name for name in module.__all__ if name.startswith("_")]


@pytest.mark.parametrize("module_name", FIXED)
def test_fixed_names(module_name):
    module = importlib.import_module(module_name)
    assert set(FIXED[module_name]) <= set(module.__all__)


def find(name):
    """Return the object of a qualified name, and the class it is a member of or None."""
    module_name, _, rest = name.rpartition(".")
    if module_name in sys.modules:
        return getattr(sys.modules[module_name], rest), None
    module_name, _, owner_name = module_name.rpartition(".")
    owner = getattr(sys.modules[module_name], owner_name)
    return getattr(owner, rest), owner


def excused(name):
    """Return the codes of DOCUMENTED that do not apply to an object."""
    item, owner = find(name)
    if name.endswith(".get_feature_names_out"):
        return {"PR01", "RT01"}  # said by scikit-learn
    if owner is not None:
        if any(
            hasattr(b, item.__name__) for b in foreign_bases(owner) if hasattr(item, "__name__")
        ):
            return {"PR01", "RT01"}  # said by the class that it comes from
        if "\n" not in (inspect.getdoc(item) or ""):
            return {"RT01"}  # "Return the ..." in one line says it
    elif inspect.isclass(item) and (dataclasses.is_dataclass(item) or "__init__" not in vars(item)):
        return {"PR01"}  # fields are attributes; nothing of its own to construct with
    return set()


def foreign_bases(cls):
    return [base for base in cls.__mro__ if not base.__module__.startswith("skuae")]


@pytest.mark.parametrize("name", list(public_objects()))
def test_public_objects_are_documented(name):
    codes = set(DOCUMENTED) - excused(name)
    errors = [(code, text) for code, text in validate(name)["errors"] if code in codes]
    assert not errors, "\n".join(f"{name}: {text} ({code})" for code, text in errors)


def test_documented_defaults_are_the_true_ones():
    """``name : type, default=value`` must agree with the signature."""
    wrong = []
    for name in public_objects():
        item, _ = find(name)
        if not callable(item):
            continue
        doc = inspect.getdoc(item) or ""
        for parameter in inspect.signature(item).parameters.values():
            if parameter.default is inspect.Parameter.empty:
                continue
            for line in doc.splitlines():
                said, _, default = line.partition(", default=")
                if not default or said.split(" : ")[0].strip() != parameter.name:
                    continue
                with contextlib.suppress(ValueError, SyntaxError):  # 1e-3 and 0.001 are the same
                    default = ast.literal_eval(default.strip("`"))
                if default not in (parameter.default, repr(parameter.default)):
                    wrong.append(f"{name}({parameter.name}={parameter.default!r}): {line}")
    assert not wrong, "\n".join(wrong)


def test_annotations_are_shipped():
    """Without this file, type checkers of others do not read ours."""
    assert (importlib.resources.files("skuae") / "py.typed").is_file()


def test_import_needs_nothing_optional():
    code = (
        "import importlib, sys, skuae\n"
        "for name in ('analysis', 'crystals', 'datasets', 'embedding', 'models'):\n"
        "    importlib.import_module(f'skuae.{name}')\n"
        f"print([name for name in {OPTIONAL} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_import_works_where_nothing_optional_is_installed():
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({OPTIONAL}))  # None there makes an import fail\n"
        "from skuae import UAETransformer, datasets\n"
        "data = datasets.make_toy_crystals(4, random_state=0)\n"
        "print(UAETransformer().fit_transform(data.structures).shape[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "4"
