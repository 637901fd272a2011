"""Probes: cheap predictors fitted on features, and the numbers that judge them."""
