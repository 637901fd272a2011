"""Pretraining: settings and presets, the trainer, and what a run needs to go on exactly."""
