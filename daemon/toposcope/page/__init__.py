"""The daemon's own page at `/`, and the same sections as one HTML file; they read the view, never measure."""
