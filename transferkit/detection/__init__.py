"""Detection: detectors put together around a network, and how well found boxes fit marked ones."""
