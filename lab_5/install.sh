#!/usr/bin/env bash
# Installs what poetry.lock pins into .venv: ./install.sh what serves, ./install.sh dev what tests, too.
# Poetry, in an environment of its own ($POETRY: one that is there), only writes the lock out for pip, with its hashes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() { printf '%s\n' "$*" >&2; exit 1; }

pip() { # environment packages...: a dot for each package
  "$1/bin/python" -m pip install --disable-pip-version-check --retries 2 --only-binary :all: "${@:2}" 2>&1 | tee .venv/pip.log |
    while IFS= read -r line; do case $line in Collecting*) printf . ;; esac; done ||
    { echo; fail "the packages could not be installed; is there a network? pip says: $(grep -m 1 '^ERROR' .venv/pip.log)"; }
}

make_environment() { (trap '' INT; exec "$python" -m venv "$1"); } # Ctrl-C waits for its seconds: Python would answer in pages

[ ! -e .venv/poetry.lock ] || cmp -s poetry.lock .venv/poetry.lock || rm -rf .venv # the lock has changed since
missing=''
for group in main "$@"; do [ -e ".venv/installed-$group" ] || missing=$missing,$group; done
[ -n "$missing" ] || { echo 'nothing to install'; exit; }

for python in python3 python3.14 python3.13 python3.12 python3.11 ''; do
  "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && break
done
[ -n "$python" ] || fail 'Python 3.11 to 3.14 is needed: https://www.python.org/downloads'
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"

half=$([ -e .venv ] || echo .venv) # half an environment would only confuse
trap 'rm -rf "$half"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

printf 'installing%s from poetry.lock ' "$missing" | tr , ' '
make_environment .venv
if [ -z "${POETRY:-}" ]; then
  POETRY=.venv/poetry/bin/poetry
  [ -x "$POETRY" ] || { make_environment .venv/poetry; pip .venv/poetry poetry==2.5.1 poetry-plugin-export==1.10.1; }
fi
"$POETRY" export --quiet --only "${missing#,}" --output .venv/requirements.txt
pip .venv --require-hashes --requirement .venv/requirements.txt
for group in main "$@"; do touch ".venv/installed-$group"; done
cp poetry.lock .venv/poetry.lock
half=''
echo ' done'
