"""Full-network transfer: the whole network is trained on a target, then scored on its test split."""
