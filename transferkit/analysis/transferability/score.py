"""Transferability scores and their registry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike

from ...core.registry import Registry
from ...core.seeding import generator
from ..labelled import Labelled, labelled

Needs = Literal["features", "probabilities"]


@dataclass(frozen=True)
class TransferScore:
    """A transferability score; a higher score predicts a more accurate model.

    Attributes:
        function: computes the score from an array and integer labels ``[n]`` of at least 2 classes.
        needs: content of the array: ``features`` ``[n, d]``, or ``probabilities`` ``[n, s]`` of the classes that
            the model was trained on.
        title: full name.
        drawn: True if ``function`` is random and takes ``rng``.
    """

    function: Callable[..., float]
    needs: Needs
    title: str
    drawn: bool = False

    def __call__(self, x: ArrayLike, labels: ArrayLike, *, seed: int) -> float:
        """Compute the score; ``seed`` affects only random scores."""
        return self.function(x, labels, rng=generator(seed, self.title)) if self.drawn else self.function(x, labels)


SCORES: Registry[TransferScore] = Registry("transferability score")
"""Score by name."""


def two_classes(x: ArrayLike, labels: ArrayLike, *, needs: Needs = "features") -> Labelled:
    """Check rows and labels of at least two classes.

    Raises:
        ShapeError: if the shapes of ``x`` and ``labels`` do not match.
        NonFiniteError: if ``x`` contains NaN or infinity.
        DataError: if all rows are of one class.
    """
    return labelled(x, labels, least=2, name=needs.capitalize())
