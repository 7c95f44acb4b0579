"""Parameters of parts that were given by name."""

from typing import Any


class NestedParams:
    """Say how to set a parameter of a part that was given by name.

    A name such as ``backbone="cgcnn"`` has no parameters: scikit-learn would end in an
    AttributeError.
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
            If there is no such parameter, or the part is a name and no object.
        """
        for key in params:
            part, _, inner = key.partition("__")
            value = params.get(part, getattr(self, part, None))
            if inner and isinstance(value, str):
                raise ValueError(
                    f"{key} cannot be set: {part}={value!r} is a name, and names have no "
                    f"parameters. Pass the object it stands for (see {part} in the documentation "
                    f"of {type(self).__name__})"
                )
        return super().set_params(**params)  # type: ignore[misc]
