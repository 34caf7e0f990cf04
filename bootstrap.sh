#!/bin/sh
# Makes the environment in the given folder with a Python >= 3.12, and installs Remora there with all extras.
set -eu
venv=$1

fits() { "$1" -c 'import sys, venv, ensurepip; raise SystemExit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

find_python() {
  for candidate in ${REMORA_PYTHON:-} python3.13 python3.14 python3.12 python3 python \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python; do
    if fits "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  echo "Remora needs Python 3.12 or later with the venv module; none was found on PATH or under pyenv." >&2
  echo "Install one (Debian: apt install python3.13-venv; pyenv: pyenv install 3.13) or name it: REMORA_PYTHON=/path/to/python make ..." >&2
  exit 1
}

python=$(find_python)
echo "Setting up $venv with $("$python" --version) (once, about a minute) ..."
[ -x "$venv/bin/python" ] && fits "$venv/bin/python" || "$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
touch "$venv/.ready"
