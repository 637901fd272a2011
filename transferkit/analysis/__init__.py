"""Looking inside representations: arrays in, numbers out."""
