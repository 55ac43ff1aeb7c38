"""Making a release: packages that are the same bytes each time, their contents, and the site."""
