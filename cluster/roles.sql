-- The roles of a cluster, in a new database of Postgres 14 or later; run it in that database, as a
-- superuser. Passwords are set apart from it.
--
-- `tocsin_owner` makes and changes the tables (`tocsin migrate`). `tocsin` is for the nodes: it reads
-- and writes rows, and cannot change a table. Neither can do anything elsewhere on the server.

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
