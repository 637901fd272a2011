"""Numbers in sentences."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun, singular or plural.

    >>> counted(1, "image"), counted(2, "image"), counted(1200, "class", "classes")
    ('1 image', '2 images', '1200 classes')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
