-- The roles of a cluster, for a new database of Postgres 14 or later. A superuser runs this file in
-- that database, and sets the roles' passwords afterwards.
--
-- `tocsin_owner` makes and changes the tables (`tocsin migrate`). `tocsin` is the role of nodes: it
-- reads and writes rows, and cannot change a table. Neither role has rights elsewhere on the server.

CREATE ROLE tocsin_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
CREATE ROLE tocsin LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

DO $$ BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO tocsin_owner, tocsin', current_database());
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO tocsin_owner;
GRANT USAGE ON SCHEMA public TO tocsin;
ALTER DEFAULT PRIVILEGES FOR ROLE tocsin_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tocsin;
