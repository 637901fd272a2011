"""Models: networks from torchvision, timm, checkpoints and runs as encoders, and their layers."""
