"""Data sets: what images there are, in which splits, and how they are decoded."""
