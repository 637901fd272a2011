"""Looking inside representations: from specs to features, from features to numbers and records."""
