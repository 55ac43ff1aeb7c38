-- works with 0006

-- Postgres gets more room in the pages of its inbox here. SQLite changes rows in their place.
