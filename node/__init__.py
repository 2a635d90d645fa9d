"""The program: builds everything once, talks to the world, serves the pages and the API."""
