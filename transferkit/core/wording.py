"""Numbers in sentences."""

from collections.abc import Sequence


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, singular or plural.

    >>> counted(1, "image"), counted(2, "image"), counted(1200, "class", "classes")
    ('1 image', '2 images', '1200 classes')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def spread(numbers: Sequence[int]) -> str:
    """Return the smallest and largest number as text, or the single value if all are equal.

    >>> spread([4, 7, 5]), spread([4, 4])
    ('4 to 7', '4')
    """
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
