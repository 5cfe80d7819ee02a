# shellcheck shell=bash
# Docker Compose v2 beside Debian 12's v1, out of the next Debian release's package.
#
# Promises: nothing is installed; the one binary lies in the cache and its path goes to stdout. It runs on its
# own (`PATH/docker-compose up`), and as `docker compose` when linked into ~/.docker/cli-plugins.
# Needs common.sh and images.sh.

COMPOSE_V2_SUITE=trixie

compose_v2() {
    local binary=$RIG_CACHE/compose-v2/docker-compose debs
    if [ ! -x "$binary" ]; then
        need_debian_sources
        debs=$(mktemp -d "$RIG_CACHE/debs.XXXXXX")
        if ! {
            mkdir -p "$debs/partial" "$RIG_CACHE/compose-v2" && touch "$debs/status" &&
                (cd "$debs" && suite_apt "$COMPOSE_V2_SUITE" "$debs/status" download docker-compose) &&
                dpkg-deb -x "$debs"/docker-compose_*.deb "$debs/tree" &&
                install -m 0755 "$debs/tree/usr/libexec/docker/cli-plugins/docker-compose" "$binary"
        } >"$RIG_CACHE/compose-v2.log" 2>&1; then
            tail -n 15 "$RIG_CACHE/compose-v2.log" >&2
            die "Docker Compose v2 could not be extracted" "check /etc/apt/sources.list*; full output: $RIG_CACHE/compose-v2.log"
        fi
        rm -rf "$debs"
    fi
    "$binary" version >/dev/null || die "$binary does not run on this system" "use Compose v1: apt-get install docker-compose"
    echo "$binary"
}
