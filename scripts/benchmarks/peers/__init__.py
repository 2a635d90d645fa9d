"""The same cases over the same line with tiepdan and with two systems that many use."""
