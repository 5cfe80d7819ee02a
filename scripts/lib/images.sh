# shellcheck shell=bash
# The images: the official ones where a registry answers, else the same thing built from Debian's packages.
#
# Promises: an image whose label envctl.recipe matches its recipe is kept, whatever built it. Everything that
# took time is cached under $RIG_CACHE and used again after the engine has lost its images.
# Needs common.sh, and an engine that answers.

RECIPES=$RIG_ROOT/compose/images
BACKEND_APP=$RIG_ROOT/compose/techmage/backend
STUDIO=$RIG_ROOT/compose/techmage/studio
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
REGISTRY_PATIENCE=4

#           tag                  suite     official image       Dockerfile  its ARG          packages
image_table() {
    cat <<'TABLE'
envctl-postgres:15  bookworm  postgres:15           postgres  PG_MAJOR=15  postgresql-15,locales
envctl-postgres:17  trixie    postgres:17           postgres  PG_MAJOR=17  postgresql-17,locales
envctl-backend:20   trixie    node:20-bookworm-slim backend   NODE_MAJOR=20 nodejs,ca-certificates
envctl-python:3.13  trixie    python:3.13-slim-trixie python  PYTHON=3.13   python3,python-is-python3
envctl-postgis:15   bookworm  envctl-postgres:15  postgis   -            postgresql-15-postgis-3
envctl-postgres:15-ready bookworm envctl-postgres:15 ready  -            -
envctl-postgres:17-ready trixie   envctl-postgres:17 ready  -            -
TABLE
}

ensure_images() {
    local stale
    stale=$(stale_images)
    [ -n "$stale" ] || return 0
    need_root "building images"
    rm -rf "$RIG_CACHE"/{root,tree,context,debs}.* "$RIG_CACHE"/{node,python}/new.* # what an interrupted run left; the lock is ours
    local official=no
    ! registry_answers || official=yes
    if grep -q envctl-backend <<<"$stale"; then
        install_node_modules "$BACKEND_APP"
        install_node_modules "$STUDIO"
    fi
    ! grep -q envctl-python <<<"$stale" || install_python_packages
    if [ $official = yes ]; then
        build_all "$stale" official_base
    else
        say "no registry answers; building from Debian packages: $(awk '{print $1}' <<<"$stale" | xargs)"
        need debootstrap=debootstrap unshare=util-linux
        need_debian_sources
        build_all "$stale" debian_base
    fi
    drop_old_images
}

# The rows of the table whose image is missing or was made from another recipe.
stale_images() {
    local row tag kind
    image_table | while read -r row; do
        read -r tag _ _ kind _ <<<"$row"
        [ "$(docker image inspect --format '{{index .Config.Labels "envctl.recipe"}}' "$tag" 2>/dev/null)" = "$(recipe "$row" "$kind")" ] ||
            echo "$row"
    done
}

# recipe ROW KIND: the hash of everything that decides what is in the image.
recipe() {
    {
        echo "$1"
        hash_files "$RECIPES/$2"
        declare -f make_rootfs trim_rootfs build_image # without their comments, which change nothing
        [ "$2" != backend ] || hash_files "$BACKEND_APP" "$STUDIO"
        [ "$2" != postgis ] || {
            declare -f extend_image
            recipe "$(image_table | grep '^envctl-postgres:15 ')" postgres
        }
        [ "$2" != ready ] || {
            declare -f ready_image
            recipe "$(image_table | grep "^$(awk '{print $3}' <<<"$1") ")" postgres
        }
    } | sha256sum | cut -d' ' -f1
}

# Contents, names and executable bits. node_modules follows from the lock file, which is hashed.
hash_files() {
    (cd "$RIG_ROOT" && find "${@#"$RIG_ROOT"/}" -name node_modules -prune -o -type f -printf '%p %m\n' | LC_ALL=C sort |
        while read -r file mode; do echo "$mode $(sha256sum "$file")"; done)
}

# A pull tests what matters, the engine's own way to its registry. Without an answer it is stopped early:
# name resolution alone can take a minute to fail.
registry_answers() {
    local log=$RIG_CACHE/pull.log pid deadline=$((SECONDS + REGISTRY_PATIENCE))
    "$RIG_DOCKER" pull postgres:15 >"$log" 2>&1 9>&- &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        if grep -q 'Pulling from' "$log"; then
            say "a registry answers; pulling the official images"
            break
        fi
        if [ $SECONDS -ge $deadline ]; then
            kill $pid 2>/dev/null
            break
        fi
        sleep 0.1
    done
    wait $pid 2>/dev/null
}

# One chain per Debian release: two releases use both cores, while two builds of one would share its apt cache.
build_all() {
    local rows=$1 base=$2 suite pids=() pid failed=0
    while read -r suite; do
        build_chain "$(awk -v s="$suite" '$2 == s' <<<"$rows")" "$base" &
        pids+=($!)
    done < <(awk '{print $2}' <<<"$rows" | sort -u)
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    [ $failed = 0 ] || die "an image could not be built" "run this again; what was finished is kept"
}

build_chain() {
    local row tag log
    while read -r row; do
        tag=${row%% *}
        log=$RIG_CACHE/build-${tag/:/-}.log
        local started=$SECONDS
        local build=build_image
        [[ $row != *\ postgis\ * ]] || build=extend_image
        [[ $row != *\ ready\ * ]] || build=ready_image
        if ! (set -e; "$build" "$row" "$2") >"$log" 2>&1; then
            tail -n 20 "$log" >&2
            say "building $tag failed; full output: $log"
            return 1
        fi
        say "built $tag in $((SECONDS - started)) s"
    done <<<"$1"
}

build_image() {
    local row=$1 make_base=$2 tag suite official kind arg packages base hash context
    set -e # a caller that tests this function's status would otherwise switch it off
    read -r tag suite official kind arg packages <<<"$row"
    hash=$(recipe "$row" "$kind")
    "$make_base" base "$tag" "$suite" "$official" "$kind" "$packages"
    if [ "$make_base" = official_base ] && [ "$kind" = postgres ]; then
        echo "FROM $base" | DOCKER_BUILDKIT=0 docker build --label "envctl.recipe=$hash" --tag "$tag" -
        return
    fi
    context=$(mktemp -d "$RIG_CACHE/context.XXXXXX")
    cp -a "$RECIPES/$kind/." "$context"
    if [ "$kind" = backend ]; then
        cp -a "$BACKEND_APP" "$context/app"
        rm -rf "$context/app/node_modules"
        cp -a "$(node_modules_dir "$BACKEND_APP")" "$context/node_modules"
        mkdir "$context/studio"
        cp -a "$(node_modules_dir "$STUDIO")" "$context/studio/node_modules"
    fi
    [ "$kind" != python ] || cp -a "$(python_packages_dir)" "$context/packages"
    DOCKER_BUILDKIT=0 docker build --build-arg "BASE=$base" --build-arg "$arg" --label "envctl.recipe=$hash" --tag "$tag" "$context"
    rm -rf "$context"
}

# extend_image ROW MAKE_BASE: an image of the table with more packages, as one layer on top of it. `docker build`
# would keep the downloaded packages in a layer of their own.
extend_image() {
    local row=$1 tag suite base kind packages container debs=
    set -e # a caller that tests this function's status would otherwise switch it off
    read -r tag suite base kind _ packages <<<"$row"
    [ "$2" = official_base ] || debs=$(packages_for "$base" "$suite" "${packages//,/ }")
    # shellcheck disable=SC2086
    container=$(docker create ${debs:+--network=none} --entrypoint /install "$base" ${packages//,/ })
    docker cp "$RECIPES/$kind/install" "$container:/install"
    [ -z "$debs" ] || docker cp "$debs" "$container:/debs"
    if ! docker start --attach "$container"; then
        docker rm --force --volumes "$container"
        return 1
    fi
    docker commit --change "ENTRYPOINT $(docker image inspect --format '{{json .Config.Entrypoint}}' "$base")" \
        --change "CMD $(docker image inspect --format '{{json .Config.Cmd}}' "$base")" \
        --change "LABEL envctl.recipe=$(recipe "$row" "$kind")" "$container" "$tag"
    docker rm --volumes "$container"
}

# ready_image ROW: an image of the table with the cluster of its first start in it. Tests start these: a first start
# takes seconds.
ready_image() {
    local row=$1 tag base kind container
    set -e # a caller that tests this function's status would otherwise switch it off
    read -r tag _ base kind _ <<<"$row"
    container=$(docker create --network=none --entrypoint /make "$base")
    docker cp "$RECIPES/$kind/make" "$container:/make"
    docker cp "$RECIPES/$kind/variables" "$container:/variables"
    docker cp "$RECIPES/$kind/entrypoint" "$container:/usr/local/bin/ready-entrypoint"
    if ! docker start --attach "$container"; then
        docker rm --force --volumes "$container"
        return 1
    fi
    docker commit --change 'ENTRYPOINT ["ready-entrypoint"]' \
        --change "CMD $(docker image inspect --format '{{json .Config.Cmd}}' "$base")" \
        --change "LABEL envctl.recipe=$(recipe "$row" "$kind")" "$container" "$tag"
    docker rm --volumes "$container"
}

# packages_for IMAGE SUITE PACKAGES: a directory with the packages that the image lacks, out of the cache after the
# first time.
packages_for() {
    local image=$1 suite=$2 packages=$3 status hash dir
    status=$(mktemp "$RIG_CACHE/debs.XXXXXX")
    docker run --rm --network=none --entrypoint cat "$image" /var/lib/dpkg/status >"$status"
    hash=$({ echo "$suite $packages"; cat "$status"; } | sha256sum | cut -c1-16)
    dir=$RIG_CACHE/debs/${packages// /-}-$hash
    if [ ! -d "$dir" ]; then
        rm -rf "${dir%-*}"-* "$dir.new"
        mkdir -p "$dir.new/partial"
        # shellcheck disable=SC2086
        suite_apt "$suite" "$status" -o "Dir::Cache::Archives=$dir.new" \
            install --yes --no-install-recommends --download-only $packages >&2
        rm -rf "$dir.new"/{partial,lock}
        mv "$dir.new" "$dir"
    fi
    rm -f "$status"
    echo "$dir"
}

# Superseded images: ours by their label, without a name, and used by no container, or the engine would refuse.
drop_old_images() { docker image prune --force --filter label=envctl.recipe >/dev/null || true; }

official_base() {
    local -n out=$1
    docker pull "$4"
    # shellcheck disable=SC2034
    out=$4
}

# debian_base OUT TAG SUITE OFFICIAL KIND PACKAGES: the Debian release with the packages in it, as a local image.
debian_base() {
    local -n out=$1
    local tag=$2 suite=$3 kind=$5 packages=$6 hash root
    hash=$({ echo "$suite $packages"; cat "$RECIPES/$kind/rootfs"; declare -f make_rootfs trim_rootfs; } | sha256sum | cut -c1-16)
    # shellcheck disable=SC2034
    out=envctl-base:${tag/:/-}-$hash
    docker image inspect "$out" >/dev/null 2>&1 && return
    local tar=$RIG_CACHE/rootfs/${tag/:/-}-$hash.tar
    [ -f "$tar" ] || make_rootfs "$tar" "$suite" "$kind" "$packages"
    docker import "$tar" "$out"
    # Earlier bases lose their names, and go with the last image that was built on them.
    docker image ls --format '{{.Repository}}:{{.Tag}}' --filter "reference=envctl-base:${tag/:/-}-*" |
        grep -vF "$out" | xargs --no-run-if-empty "${RIG_DOCKER:-docker}" image rm || true
}

make_rootfs() {
    local tar=$1 suite=$2 kind=$3 packages=${4//,/ } root debs
    root=$(mktemp -d "$RIG_CACHE/root.XXXXXX")
    debs=$root/var/cache/apt/archives
    debian_tree "$suite" "$root"
    install -m 0755 "$RECIPES/$kind/rootfs" "$root/rootfs"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # packages must not start their services here
    chmod 0755 "$root/usr/sbin/policy-rc.d"
    # The host's apt downloads, with the host's proxies and certificates; the chroot only unpacks.
    # shellcheck disable=SC2086
    suite_apt "$suite" "$root/var/lib/dpkg/status" -o "Dir::Cache::Archives=$debs" \
        install --yes --no-install-recommends --download-only $packages
    in_root "$root" /rootfs prepare
    in_root "$root" sh -c 'DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends --no-download /var/cache/apt/archives/*.deb'
    in_root "$root" /rootfs finish
    trim_rootfs "$root"
    mkdir -p "$RIG_CACHE/rootfs"
    tar --numeric-owner -C "$root" -cf "$tar.new" .
    rm -rf "$root"
    rm -f "${tar%-*}"-*.tar
    mv "$tar.new" "$tar"
}

in_root() {
    local root=$1
    shift
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C chroot "$root" "$@"
}

# Nobody reads manuals in a throwaway container. Licences stay.
trim_rootfs() {
    rm -rf "$1"/rootfs "$1"/usr/sbin/policy-rc.d "$1"/var/cache/apt "$1"/var/lib/apt/lists "$1"/var/log/* \
        "$1"/usr/share/man "$1"/usr/share/info "$1"/usr/share/lintian "$1"/var/cache/debconf/*-old
    mkdir -p "$1/var/cache/apt/archives/partial" "$1/var/lib/apt/lists/partial"
    find "$1/usr/share/doc" -type f ! -name copyright -delete
    find "$1/usr/share/locale" -mindepth 1 -maxdepth 1 -type d ! -name 'en*' -exec rm -rf {} +
}

# debian_tree SUITE DIR: a minimal system, out of the cache after the first time.
debian_tree() {
    local tar=$RIG_CACHE/base/$1.tar tree
    if [ ! -f "$tar" ]; then
        tree=$(mktemp -d "$RIG_CACHE/tree.XXXXXX")
        debootstrap --variant=minbase --keyring="$KEYRING" "$1" "$tree" "$DEBIAN_MIRROR"
        mkdir -p "$RIG_CACHE/base"
        tar --numeric-owner -C "$tree" -cf "$tar.new" .
        rm -rf "$tree"
        mv "$tar.new" "$tar"
    fi
    tar --numeric-owner -C "$2" -xf "$tar"
    chmod 0755 "$2"
}

# Where this machine gets its own packages from, as apt understands its sources. apt knows the labels only
# after an update. Debian's own default mirror serves where the sources name none.
need_debian_sources() {
    [ -z "${DEBIAN_MIRROR:-}" ] || return 0
    [ -n "$(source_of Debian)" ] || apt-get update >"$RIG_CACHE/apt.log" 2>&1 ||
        die "apt-get update failed" "check /etc/apt/sources.list*; full output: $RIG_CACHE/apt.log"
    DEBIAN_MIRROR=$(source_of Debian)
    DEBIAN_SECURITY=$(source_of Debian-Security)
    [ -n "$DEBIAN_MIRROR" ] || DEBIAN_MIRROR=$(sed -n 's/^DEF_MIRROR="\(.*\)"/\1/p' /usr/sbin/debootstrap)
}

# awk reads to the end: apt-get would die of a closed pipe, and pipefail with it.
source_of() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(LABEL) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v label="$1" '$1 == label && $2 == "main" && !found { print $3; found = 1 }'
}

# suite_apt SUITE DPKG_STATUS ARGS…: the host's apt-get over another release, in directories of its own.
# The host's pins and sources stay out of it.
suite_apt() {
    local suite=$1 status=$2 dir=$RIG_CACHE/apt/$1 options
    shift 2
    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    {
        echo "deb [signed-by=$KEYRING] $DEBIAN_MIRROR $suite main"
        echo "deb [signed-by=$KEYRING] $DEBIAN_MIRROR $suite-updates main"
        [ -z "$DEBIAN_SECURITY" ] || echo "deb [signed-by=$KEYRING] $DEBIAN_SECURITY $suite-security main"
    } >"$dir/sources.list"
    options=(
        -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o "Dir::State::Lists=$dir/lists" -o "Dir::State::Status=$status"
        -o "Dir::State::Extended_States=$dir/extended_states"
        -o "Dir::Cache=$dir" -o APT::Sandbox::User=root
    )
    # Twice an hour at most: three images share a release.
    [ -n "$(find "$dir/updated" -mmin -30 2>/dev/null)" ] || {
        apt-get "${options[@]}" update
        touch "$dir/updated"
    }
    apt-get "${options[@]}" "$@"
}

# node_modules_dir APP: where the packages of an app are kept.
node_modules_dir() { echo "$RIG_CACHE/node/$(hash_files "$1/package.json" "$1/package-lock.json" | sha256sum | cut -c1-16)/node_modules"; }

# Without scripts: they would download native engines, which the WebAssembly ones in the packages replace.
install_node_modules() {
    local target dir
    target=$(node_modules_dir "$1")
    [ ! -d "$target" ] || return 0
    need npm=npm
    say "installing node_modules of the demo's $(basename "$1")"
    mkdir -p "$RIG_CACHE/node"
    dir=$(mktemp -d "$RIG_CACHE/node/new.XXXXXX")
    cp "$1"/package*.json "$dir"
    (cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund) >"$RIG_CACHE/npm.log" 2>&1 9>&- || {
        tail -n 15 "$RIG_CACHE/npm.log" >&2
        rm -rf "$dir"
        die "npm could not install the packages of $1" "check npm's registry setting; full output: $RIG_CACHE/npm.log"
    }
    rm -rf "$(dirname "$target")"
    mv "$dir" "$(dirname "$target")"
}

python_packages_dir() { echo "$RIG_CACHE/python/$(sha256sum "$RECIPES/python/requirements.txt" | cut -c1-16)"; }

# Wheels for the image's Python, whichever runs on the host (which pip would otherwise compare the packages with);
# nothing is compiled.
install_python_packages() {
    local target dir
    target=$(python_packages_dir)
    [ ! -d "$target" ] || return 0
    need pip3=python3-pip
    say "installing the Python packages of envctl-python"
    mkdir -p "$RIG_CACHE/python"
    dir=$(mktemp -d "$RIG_CACHE/python/new.XXXXXX")
    pip3 install --quiet --disable-pip-version-check --no-compile --python-version 3.13 --ignore-requires-python \
        --only-binary=:all: --target "$dir" --requirement "$RECIPES/python/requirements.txt" >"$RIG_CACHE/pip.log" 2>&1 9>&- || {
        tail -n 15 "$RIG_CACHE/pip.log" >&2
        rm -rf "$dir"
        die "pip could not install the packages of envctl-python" "check pip's index setting; full output: $RIG_CACHE/pip.log"
    }
    chmod 0755 "$dir"
    rm -rf "$target"
    mv "$dir" "$target"
}
