#!/bin/sh
# Installs the tools of xtask/requirements.txt into .tools/venv, once per change of that
# file. The mark also holds the folder, since an environment does not survive a move.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
tools="$root/.tools"
wanted="$root/xtask/requirements.txt"
mark="$tools/installed"

is_current() { [ -f "$mark" ] && { echo "$root"; cat "$wanted"; } | cmp -s - "$mark"; }

is_current && exit 0
mkdir -p "$tools"
if command -v flock >/dev/null 2>&1; then
    exec 9>"$tools/lock"
    flock 9
    is_current && exit 0
fi
echo "setup: installing the tools of xtask/requirements.txt into .tools" >&2
if [ -f "$mark" ] && [ "$(head -n 1 "$mark")" != "$root" ]; then
    rm -rf "$tools/venv"
fi
[ -x "$tools/venv/bin/python" ] || python3 -m venv "$tools/venv"
"$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted" >&2
"$tools/venv/bin/python" "$root/xtask/helm.py" "$wanted" "$tools/venv/bin"
{ echo "$root"; cat "$wanted"; } >"$mark"
