# shellcheck shell=bash
# Servers of object stores for the tests: moto speaks S3, azurite speaks Azure Blob Storage.
#
# Promises: nothing is installed outside the cache; a version that is there is not asked for again.
# Needs common.sh.

MOTO_VERSION=5.2.5
# The last one that runs on Node 20.
AZURITE_VERSION=3.35.0

ensure_stores() {
    local moto=$RIG_CACHE/moto-$MOTO_VERSION azurite=$RIG_CACHE/azurite-$AZURITE_VERSION
    need python3=python3 npm=npm
    if [ ! -x "$moto/bin/moto_server" ]; then
        python3 -c 'import ensurepip' 2>/dev/null || need pyvenv=python3-venv
        say "installing moto $MOTO_VERSION"
        rm -rf "$moto"
        if ! { python3 -m venv "$moto" && "$moto/bin/pip" install -q "moto[server]==$MOTO_VERSION"; } >"$RIG_CACHE/moto.log" 2>&1; then
            tail -n 15 "$RIG_CACHE/moto.log" >&2
            die "moto could not be installed" "look at the network and at pip's index; full output: $RIG_CACHE/moto.log"
        fi
    fi
    if [ ! -x "$azurite/node_modules/.bin/azurite-blob" ]; then
        say "installing azurite $AZURITE_VERSION"
        mkdir -p "$azurite"
        if ! npm install --prefix "$azurite" --no-audit --no-fund --silent "azurite@$AZURITE_VERSION" >"$RIG_CACHE/azurite.log" 2>&1; then
            tail -n 15 "$RIG_CACHE/azurite.log" >&2
            die "azurite could not be installed" "look at the network and at npm's registry; full output: $RIG_CACHE/azurite.log"
        fi
    fi
}
