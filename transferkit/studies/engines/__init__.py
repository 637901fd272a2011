"""Engines that run tasks: worker processes of this machine, or a Ray cluster."""
