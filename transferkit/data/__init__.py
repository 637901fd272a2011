"""Data sets: their images and splits, and the decoding of image files."""
