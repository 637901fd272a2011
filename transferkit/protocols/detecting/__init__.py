"""Detection transfer: train a detector with a network as its backbone on boxes, and score its detections."""
