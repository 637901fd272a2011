"""Detection transfer: a detector is put around a network, trained on boxes, and scored on them."""
