"""Sphinx configuration: ``sphinx-build -W docs docs/_build``."""

import skuae

project = "skuae"
author = "The skuae developers"
copyright = "2026, The skuae developers"
version = release = skuae.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "auto_examples/*.py.md5"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
autosummary_generate = True
numpydoc_show_class_members = False  # the pages of autosummary list them already

html_theme = "pydata_sphinx_theme"
html_title = "skuae"
html_theme_options = {"show_prev_next": False}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "remove_config_comments": True,
}
