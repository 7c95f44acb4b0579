"""Mutations that know what they do, sorted so that no two touch the same part of an input."""

from collections.abc import Callable
from typing import Any

import numpy as np

from campaign.case import Verdict, worst

Mutation = Callable[[Any, np.random.Generator], Verdict]


class Mutations:
    """The mutations of one kind of input, by the part that they change."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, Mutation]] = {}

    def of(self, part: str) -> Callable[[Mutation], Mutation]:
        """Return a decorator that adds a mutation under the name of its function."""

        def add(mutation: Mutation) -> Mutation:
            name = mutation.__name__.strip("_").replace("_", " ")
            self.parts.setdefault(part, {})[name] = mutation
            return mutation

        return add

    def apply(self, thing: Any, rng: np.random.Generator) -> tuple[tuple[str, ...], Verdict]:
        """Change one to three parts of a thing in place.

        Returns
        -------
        names : tuple of str
        verdict : {"read", "either", "refuse"}
        """
        n = int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))
        # parts with many mutations come up more often, but always in the order of their definition
        weights = np.array([len(ways) for ways in self.parts.values()], float)
        chosen = set(rng.choice(list(self.parts), n, replace=False, p=weights / weights.sum()))
        names, verdicts = [], []
        for part, ways in self.parts.items():
            if part in chosen:
                name = str(rng.choice(list(ways)))
                verdicts.append(ways[name](thing, rng))
                names.append(name)
        return tuple(names), worst(verdicts)


def pick(rng: np.random.Generator, *choices: Any) -> Any:
    """Return one of some things."""
    return choices[int(rng.integers(len(choices)))]
