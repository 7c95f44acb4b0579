"""Sphinx configuration.

``python -m sphinx -W --keep-going docs docs/_build`` runs the examples, each for minutes, and
builds the site; with ``-D plot_gallery=0`` it only builds, in seconds.
"""

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
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "auto_examples/*.py.md5"]
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autosummary_generate = True
numpydoc_show_class_members = False  # the pages of autosummary have them already

html_theme = "pydata_sphinx_theme"
html_title = "skuae"
html_static_path = ["_static"]
html_css_files = ["skuae.css"]
html_theme_options = {
    "logo": {"text": "skuae"},
    "header_links_before_dropdown": 4,
    "show_prev_next": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
# On these pages the left bar would be empty.
html_sidebars = {name: [] for name in ("index", "installation", "coming_from", "benchmarks")}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "remove_config_comments": True,
    "show_memory": False,
}
