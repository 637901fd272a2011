"""Pretraining: settings and presets, the trainer, and checkpoints that resume a run exactly."""
