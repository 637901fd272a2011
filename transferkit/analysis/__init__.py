"""Analysis of representations: functions from arrays to numbers."""
