"""The page: one HTML file that needs no network, and the charts in it, which are also drawn for papers."""
