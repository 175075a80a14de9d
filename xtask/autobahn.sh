#!/bin/sh
# Brings the Autobahn test suite for WebSocket from PyPI into a folder of its own, with a program `wstest`.
#
#   autobahn.sh FOLDER
#
# It runs on Python 2.7 and on nothing newer: found on PATH or among those of pyenv, and not installed
# here. The index is the one that this machine's pip uses. Called by `cargo xtask testbed`.
set -eu
folder=$1

fail() { echo "$*" >&2; exit 1; }

python=
for candidate in python2.7 "$(pyenv root 2>/dev/null || true)"/versions/2.7.*/bin/python2.7; do
    if "$candidate" -c '' 2>/dev/null; then
        python=$(command -v "$candidate")
        break
    fi
done
[ -n "$python" ] || fail "no python2.7 (Autobahn runs on nothing newer)"

rm -rf "$folder"
mkdir -p "$folder"
"$python" -m pip install --quiet --no-compile --target "$folder/site" autobahntestsuite==0.8.2 >&2 ||
    fail "pip could not install autobahntestsuite"
# `addsitedir` heeds the .pth files by which packages share a namespace.
cat >"$folder/wstest.py" <<'EOF'
import os, site
site.addsitedir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "site"))
from autobahntestsuite.wstest import run
run()
EOF
# Found beside it, so that the folder may be copied with the rest of `target`.
cat >"$folder/wstest" <<EOF
#!/bin/sh
PYTHONDONTWRITEBYTECODE=1 exec "$python" "\$(dirname -- "\$0")/wstest.py" "\$@"
EOF
chmod +x "$folder/wstest"
"$folder/wstest" --version >/dev/null 2>&1 || "$folder/wstest" --help >/dev/null 2>&1 || fail "wstest does not start"
