#!/bin/sh
# The image of Postgres runs this once, when it has made an empty database: the roles of roles.sql,
# with the passwords from the secrets of docker compose.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --file /roles.sql
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set owner `cat /run/secrets/owner-password`
\set node `cat /run/secrets/node-password`
ALTER ROLE tocsin_owner PASSWORD :'owner';
ALTER ROLE tocsin PASSWORD :'node';
SQL
