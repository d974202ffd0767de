#!/usr/bin/env bash
# Runs linters, type checks and tests: ./test.sh [lab_1|...|final_project|tests ...] [--all]. The default is everything.
# A test that this machine cannot run is skipped and listed at the end. With --all, a skipped test is a failure.
# At most two jobs run at a time, for a machine with 2 cores. The slow tests, which need a cluster, are one job; their
# output is the last. The tests that need Docker, but no cluster, have the mark "docker".
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"
slow_tests='test_cluster.py test_minikube.py test_readmes_docker.py' docker_tests='test_images.py test_readmes_docker.py'

fail() { printf '%s\n' "$*" >&2; exit 1; }

all='' targets=''
for argument in "$@"; do
  case $argument in
    --all) all=yes ;;
    tests | lab_[1-9] | final_project) targets="$targets $argument" ;;
    *) echo 'usage: ./test.sh [lab_1|...|final_project|tests ...] [--all]' >&2; exit 2 ;;
  esac
done
# shellcheck disable=SC2086 # a list
projects=$(find ${targets:-tests lab_* final_project} -maxdepth 2 -name .venv -prune -o -name poetry.lock -exec dirname {} \; | sort -ru) # tests, which has the slow tests, is the first

# The user's settings must not change the result. A git hook sets GIT_*, and the tests create repositories of their own.
for variable in CDPATH FORCE_COLOR PY_COLORS PYTEST_ADDOPTS $(git rev-parse --local-env-vars 2>/dev/null) ${!PYTHON@}; do unset "$variable"; done
export no_proxy=127.0.0.1,localhost${no_proxy:+,$no_proxy}${NO_PROXY:+,$NO_PROXY}
export NO_PROXY=$no_proxy PYTHONUNBUFFERED=1 # each dot of pytest is visible at once

logs=$(mktemp -d) failed=''
finish() {
  local status=$? processes process tick
  trap '' INT TERM
  processes=$(jobs -rp)
  for process in $processes; do kill -INT -- "-$process" 2>/dev/null || true; done # as Ctrl-C: pytest cleans up
  for process in $processes; do
    for ((tick = 0; tick < 2400; tick++)); do kill -0 -- "-$process" || break; sleep 0.1; done
    kill -KILL -- "-$process" || true # after 4 minutes
  done 2>/dev/null
  rm -rf "$logs"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start() { # log function argument...: runs it in a process group of its own, with all processes that it starts
  set -m
  { set +m; "${@:2}"; } </dev/null >"$1" 2>&1 & process=$!
  set +m
}

two_at_a_time() { # function name...: calls the function with each name, and prints the outputs in this order. The slow
  # tests count, too, while they run.
  local names=("${@:2}") processes=() started=0 index process
  for ((index = 0; index < ${#names[@]}; index++)); do
    : >>"$logs/$1$index"
    exec 3<"$logs/$1$index"
    until [ "$started" -gt "$index" ] && ! kill -0 "${processes[index]}" 2>/dev/null; do
      if [ "$started" -lt "${#names[@]}" ] && [ "$(jobs -rp | wc -l)" -lt 2 ]; then
        start "$logs/$1$started" "$1" "${names[started]}"
        renice -n 10 "$process" >/dev/null 2>&1 || true # the slow tests send a load that must not wait for a processor
        processes[started]=$process started=$((started + 1))
      fi
      sleep 0.1
      cat <&3 # what is new since the last time
    done
    cat <&3
    wait "${processes[index]}" || failed="$failed ${names[index]}"
  done
}

install_packages() { # project
  printf '\n== install %s\n' "$1"
  "$1/install.sh" dev
}

check() { # project, or docker
  local ignored=() status=0 file
  printf '\n== check %s\n' "$1"
  # shellcheck disable=SC2086 # a list
  if [ "$1" = docker ]; then cd tests && exec .venv/bin/python -m pytest -rs -m docker $docker_tests; fi
  [ "$1" != tests ] || for file in $slow_tests $docker_tests; do ignored+=(--ignore "$file"); done
  cd "$1"
  .venv/bin/python -m ruff check --quiet . && .venv/bin/python -m ruff format --quiet --check . || exit
  .venv/bin/python -m mypy --no-error-summary . || status=1
  .venv/bin/python -m pytest -rs ${ignored[@]+"${ignored[@]}"} || status=$?
  exit "$status"
}

check_slow_tests() {
  cd tests
  # shellcheck disable=SC2086 # a list
  .venv/bin/python -m pytest -rs --durations 10 -m 'not docker' $slow_tests
}

first=${projects%%$'\n'*} slow=''
two_at_a_time install_packages "$first" # also Poetry, which the other projects use
[ -z "$failed" ] || fail "failed:$failed"
[ -n "${POETRY:-}" ] || [ ! -x "$first/.venv/poetry/bin/poetry" ] || export POETRY=$PWD/$first/.venv/poetry/bin/poetry
[ "$first" != tests ] || { start "$logs/slow" check_slow_tests; slow=$process; }
# shellcheck disable=SC2086 # lists
two_at_a_time install_packages ${projects#"$first"}
[ -z "$failed" ] || fail "failed:$failed"
[ "$first" != tests ] || projects="$projects docker" # last: building images disturbs the load tests
# shellcheck disable=SC2086 # a list
two_at_a_time check $projects
if [ -n "$slow" ]; then
  printf '\n== check tests: %s\n' "$slow_tests"
  wait "$slow" || failed="$failed tests(slow)"
  cat "$logs/slow"
fi

skipped=$(grep -h '^SKIPPED' "$logs"/* || true)
[ -z "$skipped" ] || printf '\n== skipped\n%s\n' "$skipped"
[ -z "$failed" ] || fail "failed:$failed"
# Two skips are allowed: few machines have the Azure CLI, or Istio's resource kinds on the cluster.
if [ -n "$all" ] && [ -n "$skipped" ] && grep -qv -e 'Azure CLI' -e CRDS_READY <<<"$skipped"; then
  fail 'failed: --all allows no skipped test'
fi
printf '\nall passed\n'
