"""Studies: study files, the grid of tasks that they describe, and the engines that run it."""
