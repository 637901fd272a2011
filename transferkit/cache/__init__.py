"""The feature cache: what an entry is named by, how it lies on disk, and who may write it."""
