"""The attic: study files, the grid of tasks that they make, and the engines that carry it out."""
