"""Documents that are made from the code, and tests that no document lags behind it."""
