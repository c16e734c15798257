"""How large a data set may be: bounds of the options, and a check before anything is allocated."""

from math import prod
from typing import Annotated

from gradlab.recipe.bounds import Bound
from gradlab.recipe.errors import RecipeError

Examples = Annotated[int, Bound(int, 2, 10_000_000)]
Length = Annotated[int, Bound(int, 2, 1_000_000)]
Classes = Annotated[int, Bound(int, 2, 10_000)]
ImageSide = Annotated[int, Bound(int, 12, 512)]  # pixels
LARGEST_ARRAY = 2**28  # numbers: 1 GiB of float32
LARGEST_BYTES = 8 * LARGEST_ARRAY  # of an array in a file: so many numbers of 8 bytes, or fewer words


def check_size(*shape: int) -> None:
    """Check the size of an array before it is allocated, whether an option or the header of a file asks for it.

    Raises:
        RecipeError: an array of this shape has more than `LARGEST_ARRAY` numbers.
    """
    if prod(shape) > LARGEST_ARRAY:
        raise RecipeError(
            f"data of {' × '.join(map(str, shape))} = {prod(shape):,} numbers is more than {LARGEST_ARRAY:,}; "
            "ask for fewer or shorter examples"
        )


def check_bytes(*sizes: int) -> None:
    """Check how many bytes an array or a column takes in memory, before it is read from a file.

    Raises:
        RecipeError: the product of the sizes is more than `LARGEST_BYTES`.
    """
    if prod(sizes) > LARGEST_BYTES:
        raise RecipeError(f"it takes {prod(sizes):,} bytes in memory, more than {LARGEST_BYTES:,}")
