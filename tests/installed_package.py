"""What of an installed skuae works, and what needs an extra; run by the Python of an environment.

It prints JSON: how many examples of docstrings ran, and what failed. An example may end at an
ImportError that names an extra.
"""

import contextlib
import doctest
import importlib
import importlib.util
import io
import json
import pkgutil
import re
import sys
import warnings
from importlib import metadata
from pathlib import Path

# Code for each extra that needs what it brings.
NEEDS = {
    "analysis": [
        "skuae.analysis.cluster_elements('ct-uae-mt')",
        "skuae.analysis.cluster_elements('ct-uae-mt', method='leiden', space='pca')",
        "skuae.analysis.map_elements('ct-uae-mt')",
        "skuae.analysis.compare_tables(['ct-uae-mt', 'megnet16'])",
        "skuae.analysis.probe_elements('ct-uae-mt', ['melting_point'])",
        "skuae.analysis.write_report('ct-uae-mt', 'report')",
        "skuae.crystal_pipeline()",
    ],
    "ase": ["import skuae.potentials._calculator"],
    "dask": ["import skuae.commands._parts as parts; parts._dask()"],
    "chgnet": ["skuae.potentials.CrystalPotential.from_pretrained('chgnet-0.3.0')"],
    "embeddings": [
        "skuae.embedding.get_table('skipatom')",
        "skuae.embedding.get_table('magpie').to_element_embeddings()",
    ],
    "hub": ["skuae.estimators.load_pretrained('hf://owner/name')"],
    "mace": [
        "import skuae.potentials._mace_module",
        "s, d = skuae.potentials.MACE(), skuae.datasets.make_toy_crystals(4, random_state=0);"
        " y = [{'energy': 0.0}] * 4;"
        " skuae.potentials.CrystalPotential(s, max_epochs=1).fit(d.structures, y)",
    ],
    "matminer": ["import skuae.matminer"],
    "save": [
        "from sklearn.dummy import DummyRegressor as D; skuae.save(D().fit([[0]], [1]), 'saved')"
    ],
    "parquet": ["skuae.datasets.read_file('a.parquet', target='y')"],
    "sevennet": [
        "import skuae.potentials._sevennet_module",
        "skuae.featurizers.PotentialTransformer('sevennet-0').fit("
        "skuae.datasets.make_toy_crystals(2).structures)",
    ],
    "torchsim": ["import skuae.potentials._torchsim"],
}
BROUGHT = (
    *("ase", "catboost", "chgnet", "distributed", "dtaidistance", "elementembeddings"),
    "graspologic_native",
    *("e3nn", "huggingface_hub", "mace", "matminer", "pyarrow"),
    *("sevenn", "skops", "torch_sim", "umap"),
)
EXTRA = re.compile(r'pip install "skuae\[(\w+)\]"')


class Examples(doctest.DocTestRunner):
    """Runs docstrings up to an ImportError that names an extra of skuae."""

    def __init__(self):
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST
        super().__init__(verbose=False, optionflags=flags)
        self.wrong, self.stopped = [], {}

    def report_failure(self, out, test, example, got):
        """Note an example that printed something else."""
        self.wrong.append(f"{test.name}: {example.source}{got}")

    def report_unexpected_exception(self, out, test, example, exc_info):
        """Note an example that failed, or that needs an extra."""
        error = exc_info[1]
        found = EXTRA.search(str(error))
        if isinstance(error, ImportError) and found:
            self.stopped[test.name] = found[1]
        else:
            self.wrong.append(f"{test.name}: {example.source}{error!r}")


def run_examples():
    """Run the examples of all docstrings."""
    import skuae

    runner, finder = Examples(), doctest.DocTestFinder(exclude_empty=True)
    for module in pkgutil.walk_packages(skuae.__path__, "skuae."):
        if module.name == "skuae.__main__":
            continue
        try:
            found = importlib.import_module(module.name)
        except ImportError as error:
            if not EXTRA.search(str(error)):
                raise
            continue
        for test in finder.find(found, module.name):
            runner.run(test)
    return {"ran": runner.tries, "wrong": runner.wrong, "stopped": runner.stopped}


def wrong_about_extras():
    """Return the code that needs an extra and does not say which."""
    Path("a.parquet").write_bytes(b"")
    wrong = []
    for extra, codes in NEEDS.items():
        for code in codes:
            try:
                exec(f"import skuae, skuae.estimators\n{code}")
            except ImportError as error:
                found = EXTRA.findall(str(error))
            except Exception as error:
                found = repr(error)
            else:
                found = "worked"
            if found != [extra]:
                wrong.append(f"{code}: {found}")
    return wrong


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        result = run_examples()
        result["silent"] = wrong_about_extras()
    result["there"] = [name for name in BROUGHT if importlib.util.find_spec(name)]
    result["extras"] = sorted(metadata.metadata("skuae").get_all("Provides-Extra"))
    result["needs"] = sorted(NEEDS)
    json.dump(result, sys.stdout)
