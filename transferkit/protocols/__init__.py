"""Protocols: the only modules that combine several of the packages data, models, losses, cache, probes and others."""
