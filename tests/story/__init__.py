"""Stories told to real processes: over HTTP, in a browser, with kills in between."""
