# shellcheck shell=bash
# shellcheck disable=SC2034  # used by the scripts that source this
# Small functions that every script under tools/ shares. Sourced, never run.

# Where this clone is, and where what the distribution lacks is kept.
RAGIFY_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
RAGIFY_DEPS="$RAGIFY_ROOT/.deps"

# Finished downloads and builds are also kept here, so that the next clone is
# quick. Everything works without it: it may be empty, or impossible to write.
RAGIFY_CACHE="${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/ragify"

say() { printf '%s\n' "$*" >&2; }
step() { printf '==> %s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$1" >&2
  shift
  local line
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# "debian12", "ubuntu24.04": part of the key of what is built for this machine.
distribution() {
  local name version
  name="$(sed -n 's/^ID=//p' /etc/os-release 2>/dev/null | tr -d '"')"
  version="$(sed -n 's/^VERSION_ID=//p' /etc/os-release 2>/dev/null | tr -d '"')"
  printf '%s%s' "${name:-unknown}" "$version"
}

# True when version $1 is at least version $2 (dotted numbers).
version_at_least() {
  [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]
}

# Puts the lines of text $2 into the array called $1; no text, no elements. (Not
# mapfile < <(...): that needs /dev/fd, which a bare chroot does not have.)
lines_into() {
  local -n lines_array="$1"
  lines_array=()
  [[ -z "$2" ]] || mapfile -t lines_array <<<"$2"
}

# Runs a command as root: as it is, or through sudo.
as_root() {
  if [[ "$(id -u)" == 0 ]]; then
    "$@"
  elif have sudo; then
    sudo -- "$@"
  else
    die "this step needs root, and there is no sudo here" "run as root: $*"
  fi
}

# True when package $1 is installed and configured.
package_installed() {
  [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}
