"""The feature cache: keys of entries, their format on disk, and locks for writing."""
