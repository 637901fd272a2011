"""Getting published data sets onto the disk: fetched, unpacked, and there only when whole."""
