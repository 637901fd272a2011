"""The upper floor: the only place where rooms meet."""
