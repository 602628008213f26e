#!/bin/bash
# Starts the stack's own mongod as a replica set with authentication; the members' keyfile is created at the first start.
set -euo pipefail

: "${MONGO_INITDB_ROOT_PASSWORD:?set MONGO_ROOT_PASSWORD in .env, as docker/env.example shows}"

keyfile=/data/keyfile/replica-set.key

if [[ ! -s $keyfile ]]; then
  # mongod takes up to 1024 base64 characters; these are 1008. Renamed when complete, so that a crash leaves no partial key.
  (umask 077 && head -c 756 /dev/urandom | base64 -w 0 >"$keyfile.new")
  mv "$keyfile.new" "$keyfile"
fi
# mongod refuses a keyfile that others can read, or that it cannot read itself.
chown mongodb:mongodb "$keyfile"
chmod 0400 "$keyfile"

exec docker-entrypoint.sh mongod --replSet rs0 --keyFile "$keyfile" --bind_ip_all
