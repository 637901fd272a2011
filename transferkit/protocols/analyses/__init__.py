"""Analyses of representations: from specs to features, and from features to numbers and records."""
