"""Ground floor: the values and small tools that every room may use, and that know none of them."""
