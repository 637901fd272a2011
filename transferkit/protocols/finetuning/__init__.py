"""Full-network transfer: train the whole network on a target data set, and score it on the test split."""
