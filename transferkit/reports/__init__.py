"""Reports: tables, figures, contact sheets and one HTML page from recorded results."""
