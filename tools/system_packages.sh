#!/bin/sh
# Packages that some tests use for real: a database server and a message broker. Where they cannot
# be installed the tests that need them skip and say so.
set -u
missing=""
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
{ command -v mosquitto || ls /usr/sbin/mosquitto; } >/dev/null 2>&1 || missing="$missing mosquitto"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "not installed:$missing (tests that need them will skip)"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1 ||
  echo "could not install:$missing (tests that need them will skip)"
exit 0
