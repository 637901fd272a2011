"""The report page: one HTML file that needs no network, and its charts, which are also drawn for papers."""
