"""Object detection: Faster R-CNN on a backbone, and the scores of its detections."""
