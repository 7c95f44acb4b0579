"""Sphinx configuration.

``python -m sphinx -W --keep-going docs docs/_build`` builds the site. Output and figures of the
examples are kept in ``docs/auto_examples``: an example runs only if it has changed. With
``-D plot_gallery=0``, none runs.
"""

import os

from sphinx_gallery.sorting import ExplicitOrder

import skuae

os.environ["TQDM_DISABLE"] = "1"  # no progress bars in the output of examples

project = "skuae"
author = "The skuae developers"
copyright = "2026, The skuae developers"
version = release = skuae.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "auto_examples/*.py.md5"]
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autosummary_generate = True
default_role = "py:obj"
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # docstrings say what types are; those of packed arrays are long
numpydoc_show_class_members = False  # the pages of autosummary have them already
copybutton_exclude = ".linenos, .gp, .go"  # prompts and output of doctests
# A build needs no network: these files hold the objects of other projects that are linked.
SITES = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "pymatgen": "https://pymatgen.org/",
    "sklearn": "https://scikit-learn.org/stable/",
    "skorch": "https://skorch.readthedocs.io/en/stable/",
    "torch": "https://docs.pytorch.org/docs/stable/",
}
intersphinx_mapping = {name: (url, f"inventories/{name}.inv") for name, url in SITES.items()}
# A reference to a name of skuae that does not exist is an error. A name in single backticks
# (py:obj) is a link where it can be one; private names stand in annotations.
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*"), (".*", r"(?!skuae\.).*|.*\._.*")]

html_theme = "pydata_sphinx_theme"
html_title = "skuae"
html_static_path = ["_static"]
html_css_files = ["skuae.css"]
html_js_files = ["skuae.js"]
html_theme_options = {
    "logo": {"text": "skuae"},
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
# On these pages the left bar would be empty.
html_sidebars = {"index": [], "installation": []}

EXAMPLES = (
    "quickstart predict_at_once few_labels features grid_search classifier uncertainty transfer "
    "attribution crystalbert sen potential element_classes probes compare_tables oxides "
    "perovskite_gp invariance"
)
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": ExplicitOrder([f"plot_{name}.py" for name in EXAMPLES.split()]),
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skuae",),
    "reference_url": {"skuae": None},
    "remove_config_comments": True,
    "capture_repr": (),  # output is what an example prints
    "min_reported_time": 3600,  # seconds; times of the machine of the build say little
    "show_memory": False,
    "show_signature": False,
}
