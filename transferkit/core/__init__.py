"""Value types and functions that all other packages use: features, results, statistics, files and errors."""
