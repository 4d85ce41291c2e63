#!/bin/sh
# Makes the service's role and database when the container first starts.
set -eu
password=${DATABASE_URL#*://*:}
password=${password%%@*}
psql --set ON_ERROR_STOP=1 --set password="$password" --username postgres <<'SQL'
create role app login password :'password';
create database app owner app;
SQL
