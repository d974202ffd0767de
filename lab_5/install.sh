#!/usr/bin/env bash
# Installs the packages of poetry.lock into .venv: ./install.sh [GROUP...], for example ./install.sh dev
# Poetry exports the lock file. pip installs it and verifies the SHA-256 of every package.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"

fail() { printf '%s\n' "$*" >&2; exit 1; }
create() { (trap '' INT; exec "$python" -m venv "$1"); } # ignores Ctrl-C for 3 s: venv would print a long traceback
pip() { # environment package...: prints a dot for each package. The first 4 options overrule a pip.conf.
  "$1/bin/python" -m pip install --no-user --target '' --root / --prefix "$PWD/$1" --no-compile --retries 2 --only-binary :all: "${@:2}" 2>&1 |
    tee .venv/pip.log | while IFS= read -r line; do case $line in Collecting*) printf . ;; esac; done ||
    { echo; fail "pip could not install the packages; is there a network? $(grep -m 1 '^ERROR' .venv/pip.log)"; }
}

unset "${!PYTHON@}" "${!POETRY_@}" # drop the user's settings, but not those for the package index
for name in "${!PIP_@}"; do
  case $name in *_URL | *_LINKS | *_INDEX | *CERT | *_HOST | *CONSTRAINT | *PROXY | *TIMEOUT | *_DIR | *_FILE) ;; *) unset "$name" ;; esac
done

state() { (cd .venv; pwd -P; bin/python --version); cksum pyproject.toml poetry.lock; } # the environment is valid for these
installed() { [ "$(cat ".venv/installed-$1" 2>&1)" = "$(state 2>&1)" ]; }
missing='' && for group in main "$@"; do installed "$group" || missing=$missing,$group; done
[ -n "$missing" ] || { echo 'nothing to install'; exit; }
for python in python3 python3.14 python3.13 python3.12 python3.11 ''; do
  "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && break
done
[ -n "$python" ] || fail 'Python 3.11 to 3.14 is required: https://www.python.org/downloads'
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv module; on Debian and Ubuntu: apt install python3-venv"

partial=$([ -e .venv ] || echo .venv) && trap 'rm -rf "$partial"' EXIT # after a failure
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p .venv && printf 'installing %s from poetry.lock ' "${missing#,}"
poetry=${POETRY:-.venv/poetry/bin/poetry}
if ! "$poetry" --version >/dev/null 2>&1; then
  poetry=.venv/poetry/bin/poetry
  rm -rf .venv/poetry; create .venv/poetry; pip .venv/poetry poetry==2.5.1 poetry-plugin-export==1.10.1
fi
"$poetry" export --only "${missing#,}" --output .venv/requirements.txt
installed main || { rm -rf .venv/bin .venv/lib .venv/lib64 .venv/include .venv/installed-*; create .venv; }
pip .venv --require-hashes --requirement .venv/requirements.txt
for group in main "$@"; do state >".venv/installed-$group"; done
partial='' && echo ' done'
