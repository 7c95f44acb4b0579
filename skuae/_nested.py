"""Parameters of parts that have none."""

from typing import Any


class NestedParams:
    """Say what cannot be set: a parameter of a part that has none, such as the name of a back-end.

    scikit-learn would end in an AttributeError.
    """

    def set_params(self, **params: Any) -> Any:
        """Set parameters, also of parts: ``<part>__<parameter>``.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such parameter, or the part is a name or None and has no parameters.
        """
        for key in params:
            part, _, inner = key.partition("__")
            value = params.get(part, getattr(self, part, self))
            if inner and not hasattr(value, "set_params"):
                raise ValueError(
                    f"{key} cannot be set: {part}={value!r} has no parameters; pass an object that "
                    f"has them (see {part} in the documentation of {type(self).__name__})"
                )
        return super().set_params(**params)  # type: ignore[misc]
