#!/bin/sh
# Runs once, on an empty data folder: Sluice's role is no superuser, so that row-level security binds it.
set -eu
psql --no-psqlrc --quiet --username postgres --set ON_ERROR_STOP=1 --set password="$SLUICE_DB_PASSWORD" <<'SQL'
CREATE ROLE sluice LOGIN CREATEDB CREATEROLE PASSWORD :'password';
CREATE DATABASE sluice OWNER sluice;
SQL
