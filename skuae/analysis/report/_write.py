"""Write the report: run its sections, then write the page, figures and numbers."""

import base64
from importlib import resources

import numpy as np
from sklearn.utils import Bunch
from tqdm import tqdm

from skuae._files import make_folder, write_bytes
from skuae._version import __version__
from skuae.analysis._inputs import check_seed, check_table, check_tables
from skuae.analysis.report._card import card_section
from skuae.analysis.report._elements import (
    centre,
    cluster_section,
    nearest_section,
    periodic_section,
    tree_section,
)
from skuae.analysis.report._knowledge import comparison_section, oxide_section, probe_section
from skuae.analysis.report._parts import number
from skuae.embedding import ElementTable, shipped_files

_LEAST = 12  # elements: up to ten classes are tried, and a tree needs some in each


def write_report(
    table,
    folder,
    *,
    compare_with=None,
    space="umap",
    n_seeds=5,
    cv=None,
    random_state=0,
    n_jobs=None,
    verbose=0,
):
    """Write an HTML report on an element table, with random controls.

    The page contains its figures and needs neither network nor scripts. Its sections cover classes
    of elements, their tree, the periodic table, nearest elements, probes of measured properties,
    oxides by class, and other tables. Every section compares its numbers with those of a control.
    The figures are also written as PNG and the numbers as CSV. A report takes about a minute.

    Parameters
    ----------
    table : str, path, ElementTable or DataFrame
        Name of a table, a file (``.safetensors`` or ``.csv``), a table, or a data frame indexed by
        symbol.
    folder : str or path-like
        Where to write. The folder is made if it does not exist; files of an earlier report are
        replaced.
    compare_with : sequence of str, path, ElementTable or DataFrame, optional
        Other tables. By default those that skuae ships, and random numbers.
    space : {"umap", "pca", "table"}, default="umap"
        Space in which elements are clustered, see :func:`cluster_elements`.
    n_seeds : int, default=5
        Number of repetitions of the clustering.
    cv : scikit-learn splitter, optional
        Splits of the probes, see :func:`probe_elements`.
    random_state : int, default=0
        The same number gives the same files.
    n_jobs : int, optional
        Processes, as in joblib.
    verbose : int, default=0
        Above 0, show a progress bar.

    Returns
    -------
    Bunch
        ``page``: path of ``report.html``. ``frames``: dict from the names of the CSV files without
        their end to DataFrames. ``text``: dict from the title of each section to its sentences.

    Raises
    ------
    ImportError
        If UMAP, CatBoost or dtaidistance is not installed.
    TypeError
        If `table` is an estimator.
    ValueError
        If a parameter has no valid value, or the table has fewer than twelve elements that differ
        from the mean of all.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.model_selection import KFold
    >>> from skuae.analysis import write_report
    >>> from skuae.embedding import get_table
    >>> light = get_table("megnet16").to_frame()[:14]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = write_report(light, folder, compare_with=["magpie"], space="pca", n_seeds=1,
    ...                           cv=KFold(2))
    >>> report.page.name, list(report.text)[-1]
    ('report.html', 'Beside other tables')
    """
    check_seed(random_state)
    table = check_table(table)
    others = [*shipped_files(), "random"] if compare_with is None else compare_with
    others = [one for one in check_tables(others) if one != table]
    table, dropped = _drop_means(table)
    folder = make_folder(folder)  # before the work, not after it
    done = tqdm(total=8, unit="section", disable=verbose < 1)
    sections = []

    def add(section):
        sections.append(section)
        done.update()

    with _quiet_figures(), done:
        card = card_section(table)
        if dropped:
            card.say(
                f"Left out of all that follows: {', '.join(dropped)}, whose vectors are the mean "
                "of all others, and say nothing."
            )
        add(card)
        clusters, labels = cluster_section(table, space, n_seeds, random_state, n_jobs)
        add(clusters)
        add(tree_section(table, labels, random_state))
        add(periodic_section(table, labels, random_state))
        add(nearest_section(table, random_state))
        add(probe_section(table, cv, random_state, n_jobs))
        add(oxide_section(labels, random_state))
        add(comparison_section(table, others, random_state))
    return _write(folder, table.name, sections, random_state)


def _drop_means(table):
    """Return a table without elements that have the mean vector, and the names of these elements.

    A centred mean vector is zero: it has no direction and no cosine.
    """
    rows = centre(table).values[table.seen]
    lengths = np.linalg.norm(rows, axis=1)
    far = lengths > 1e-5 * lengths.max()
    if far.sum() < _LEAST:
        raise ValueError(
            f"table {table.name!r} has {far.sum()} elements that differ from the mean of all; a "
            f"report needs {_LEAST}"
        )
    if far.all():
        return table, []
    symbols = np.array(table.symbols)
    kept = ElementTable(
        table.values[table.seen][far],
        symbols[far],
        name=table.name,
        metadata=table.metadata,
        columns=table.columns,
    )
    return kept, symbols[~far].tolist()


def _quiet_figures():
    """Return a context that hides new figures from windows and notebooks."""
    import matplotlib.pyplot as plt

    return plt.ioff()


def _write(folder, name, sections, random_state):
    frames = {}
    for section in sections:
        for stem, (picture, _) in section.figures.items():
            write_bytes(folder / f"{stem}.png", picture)
        for stem, (frame, _) in section.frames.items():
            write_bytes(folder / f"{stem}.csv", frame.to_csv().encode())
            frames[stem] = frame
    page = folder / "report.html"
    text = _render(name=name, sections=sections, random_state=random_state)
    write_bytes(page, text.encode())  # last: where it is, all that it names is there
    return Bunch(page=page, frames=frames, text={s.title: s.text for s in sections})


def _render(**values):
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["base64"] = lambda picture: base64.b64encode(picture).decode()
    environment.filters["cell"] = lambda v: number(v, 3) if isinstance(v, float) else v
    source = resources.files("skuae.analysis.report").joinpath("report.html.j2").read_text("utf-8")
    return environment.from_string(source).render(version=__version__, **values)
