"""Parts that pretraining, fine-tuning and detection share: hardware, checkpoints, state and schedules."""
