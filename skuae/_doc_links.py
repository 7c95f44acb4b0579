"""Links to the documentation in the HTML of estimators in notebooks."""

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


@cache
def documentation() -> str:
    """Return the address of the documentation; empty if there is none.

    It is ``Documentation`` under ``[project.urls]`` of pyproject.toml, as it was at installation.

    Returns
    -------
    str
        Without a slash at the end.
    """
    try:
        lines = metadata("skuae").get_all("Project-URL") or []
    except PackageNotFoundError:  # run from a folder
        return ""
    pairs = (line.partition(",") for line in lines)
    found = (url.strip() for label, _, url in pairs if label.strip().lower() == "documentation")
    return next(found, "").rstrip("/")


class DocLinks:
    """What scikit-learn asks estimators for when it draws them."""

    _doc_link_module = "skuae"

    @property
    def _doc_link_template(self) -> str:
        address = documentation()
        return f"{address}/api/generated/{{page}}.html" if address else ""

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        kind = type(self)
        on_top = kind.__name__ in sys.modules["skuae"].__all__
        parts = [part for part in kind.__module__.split(".") if not part.startswith("_")]
        return {"page": ".".join([*(parts[:1] if on_top else parts), kind.__name__])}
