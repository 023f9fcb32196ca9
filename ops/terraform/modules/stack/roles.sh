# Makes Sluice's role and database, or gives the role its new password.  As often as one likes.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$SLUICE_DB_PASSWORD" <<'SQL'
SELECT 'CREATE ROLE sluice LOGIN CREATEDB CREATEROLE'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice') \gexec
ALTER ROLE sluice PASSWORD :'password';
-- The master user of RDS is no superuser: it may give away a database only to a role that it belongs to.
GRANT sluice TO CURRENT_USER;
SELECT 'CREATE DATABASE sluice OWNER sluice'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'sluice') \gexec
SQL
