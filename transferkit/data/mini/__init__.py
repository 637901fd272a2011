"""The embedded suite: the study in miniature, offline."""
