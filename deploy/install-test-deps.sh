#!/usr/bin/env bash
# Installs what the tests need beside Rust: a redis-server on the PATH (Debian, Ubuntu).
# Each test starts private ones on free ports; nothing needs to run, nothing is left running.
set -euo pipefail

if command -v redis-server >/dev/null; then
    redis-server --version
    exit 0
fi

if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    as_root=(false)
fi

if ! command -v apt-get >/dev/null || [ "${as_root[0]:-}" = false ]; then
    cat >&2 <<'TEXT'
The tests need redis-server (6.2 or later) on the PATH and this script cannot install it here:
it takes apt-get and root or password-less sudo. Install it with your package manager, e.g.
    Debian, Ubuntu   sudo apt-get install redis-server
    Fedora           sudo dnf install valkey valkey-compat-redis
    macOS            brew install redis
TEXT
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# policy-rc.d would be tidier, but is the administrator's: the service that the package starts
# is harmless, since the tests never talk to the default port.
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -yq --no-install-recommends redis-server
redis-server --version
