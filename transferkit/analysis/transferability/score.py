"""What a transferability score is, and the registry of all."""

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
    """One score. Higher promises a more accurate model, for all of them.

    Attributes:
        function: computes it from an array and integer labels ``[n]`` of at least 2 classes.
        needs: what the array is: ``features`` ``[n, d]``, or ``probabilities`` ``[n, s]`` of the classes that
            the model itself was trained on.
        title: its name in full.
        drawn: whether ``function`` draws at random and takes ``rng``.
    """

    function: Callable[..., float]
    needs: Needs
    title: str
    drawn: bool = False

    def __call__(self, x: ArrayLike, labels: ArrayLike, *, seed: int) -> float:
        """The score; ``seed`` matters where it draws at random."""
        return self.function(x, labels, rng=generator(seed, self.title)) if self.drawn else self.function(x, labels)


SCORES: Registry[TransferScore] = Registry("transferability score")
"""Name → score."""


def two_classes(x: ArrayLike, labels: ArrayLike, *, needs: Needs = "features") -> Labelled:
    """Checked rows of at least two classes.

    Raises:
        ShapeError: if they do not fit.
        NonFiniteError: if ``x`` holds NaN or infinity.
        DataError: if all rows are of one class.
    """
    return labelled(x, labels, least=2, name=needs.capitalize())
