# shellcheck shell=bash disable=SC2034 # its variables are for the files that source it
# Shared by the rig's scripts: messages, the cache, the lock, packages, and which docker and compose to call.
#
# Promises: sourcing this file changes nothing on the machine. Messages go to stderr, so that a
# caller's stdout stays an answer that can be captured.

RIG_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
RIG_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/envctl-rig
RIG_NAME=$(basename "$0")

say() { printf '%s: %s\n' "$RIG_NAME" "$*" >&2; }

# die WHAT [NEXT STEP]: every failure says what to type next, where there is something to type.
die() {
    say "error: $1"
    [ -z "${2:-}" ] || say "next: $2"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# One run at a time: two debootstraps into one cache, or two dockerds, would destroy each other's work.
# The lock is descriptor 9; whatever outlives the script must be started with 9>&-.
take_lock() {
    mkdir -p "$RIG_CACHE"
    exec 9>"$RIG_CACHE/lock"
    flock -n 9 && return
    say "another setup is running; waiting for it"
    flock -w 1800 9 || die "the other setup did not end within 30 minutes" "look for it with: fuser -v $RIG_CACHE/lock"
}

need_root() {
    [ "$(id -u)" = 0 ] || die "$1 needs root" "run it again as root, for example: sudo $0"
}

# need COMMAND=PACKAGE…: installs the packages whose command is missing. apt-get update only then,
# because it is the slow part and the usual run has nothing to install.
need() {
    local pair missing=()
    for pair; do have "${pair%%=*}" || missing+=("${pair#*=}"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    need_root "installing ${missing[*]}"
    have apt-get || die "missing: ${missing[*]}, and there is no apt-get here" "install them with the system's package manager"
    say "installing ${missing[*]}"
    mkdir -p "$RIG_CACHE"
    if ! {
        apt-get update &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    } >"$RIG_CACHE/apt.log" 2>&1 9>&-; then
        tail -n 15 "$RIG_CACHE/apt.log" >&2
        die "apt-get could not install ${missing[*]}" "check /etc/apt/sources.list*, then run this again; full output: $RIG_CACHE/apt.log"
    fi
}

# The first client that the engine answers. A newer client earlier in PATH may refuse to speak to the
# distribution's older engine, while the engine's own client in /usr/bin always can.
docker() { command "${RIG_DOCKER:-docker}" "$@"; }

pick_docker() {
    local client
    for client in docker /usr/bin/docker; do
        have "$client" || continue
        if timeout 5 "$client" version --format '{{.Server.Version}}' >/dev/null 2>&1; then
            RIG_DOCKER=$(command -v "$client")
            return 0
        fi
    done
    return 1
}

# Compose v2 where the client has it, v1 otherwise. ENVCTL_RIG_COMPOSE overrides, so that the stacks
# can be tried with either: ENVCTL_RIG_COMPOSE="$(scripts/setup compose-v2)" scripts/setup stacks
pick_compose() {
    if [ -n "${ENVCTL_RIG_COMPOSE:-}" ]; then
        RIG_COMPOSE=("$ENVCTL_RIG_COMPOSE")
    elif docker compose version >/dev/null 2>&1; then
        RIG_COMPOSE=("${RIG_DOCKER:-docker}" compose)
    else
        need docker-compose=docker-compose
        RIG_COMPOSE=(docker-compose)
    fi
}
