#!/bin/sh
# Unpacks a package of another Debian suite, with every library it needs down to its own libc, into a
# folder of its own. Nothing of it is installed and none of its maintainer scripts runs.
#
#   testbed.sh FOLDER SUITE PACKAGE PROGRAM
#
# FOLDER   where to (its path is written into the program: do not move it afterwards)
# SUITE    bookworm, trixie, sid ...
# PACKAGE  what to fetch, with its dependencies
# PROGRAM  path inside the package of the program that is to run, such as /usr/sbin/haproxy
#
# The mirror is the one that this machine's own apt uses. Called by `cargo xtask testbed`.
set -eu
folder=$1 suite=$2 package=$3 program=$4

fail() { echo "$*" >&2; exit 1; }

command -v apt-get >/dev/null || fail "no apt-get here"
command -v dpkg >/dev/null || fail "no dpkg here"
if ! command -v patchelf >/dev/null; then
    [ "$(id -u)" = 0 ] || fail "no patchelf (apt-get install patchelf)"
    # The lists may never have been fetched on a fresh machine.
    apt-get -qq -y --no-install-recommends install patchelf >/dev/null 2>&1 ||
        { apt-get -qq update && apt-get -qq -y --no-install-recommends install patchelf; } >&2 ||
        fail "patchelf could not be installed"
fi

mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "main" && $1 ~ /\/debian\/$/ { print $1; exit }')
[ -n "$mirror" ] || fail "apt is set up with no Debian mirror"

rm -rf "$folder"
apt=$folder.apt
rm -rf "$apt"
mkdir -p "$folder" "$apt/lists/partial" "$apt/archives/partial"
: >"$apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
    >"$apt/sources.list"
# An empty dpkg status makes apt fetch all dependencies, also those this machine has.
set -- -qq -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=- \
    -o Dir::State="$apt" -o Dir::State::Lists="$apt/lists" -o Dir::State::status="$apt/status" \
    -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives" \
    -o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::http::Timeout=20 \
    -o APT::Sandbox::User= -o APT::Keep-Downloaded-Packages=true -o Debug::NoLocking=true
apt-get "$@" update >&2
apt-get "$@" -y --no-install-recommends --download-only install base-files "$package" >&2

# base-files first: it brings the links /bin, /lib and /lib64 that the others unpack through.
for deb in "$apt"/archives/base-files_*.deb "$apt"/archives/*.deb; do
    dpkg -x "$deb" "$folder"
done
rm -rf "$apt"

# What needs nothing but the libc, and finds a new enough one here, is left as it is: not every program
# outlives being patched.
others=$(patchelf --print-needed "$folder$program" | grep -Ev '^(lib(c|m|dl|pthread|rt|resolv)|ld-linux.*)\.so' || :)
if [ -z "$others" ] && ! ldd "$folder$program" 2>&1 | grep -q 'not found'; then
    exit 0
fi
loader=$(find "$folder/usr/lib64" "$folder/lib64" "$folder/usr/lib" -name 'ld-linux-*.so.*' \
    2>/dev/null | head -n 1)
[ -n "$loader" ] || fail "no dynamic loader among the packages"
# Older suites have an absolute link there.
case $(readlink "$loader") in /*) loader=$folder$(readlink "$loader") ;; esac
triplet=$(basename "$(dirname "$(find "$folder/usr/lib" "$folder/lib" -name libc.so.6 2>/dev/null |
    head -n 1)")")
# --force-rpath: libraries of libraries must be looked for here too.
patchelf --set-interpreter "$loader" --force-rpath \
    --set-rpath "$folder/usr/lib/$triplet:$folder/lib/$triplet" "$folder$program"
