# shellcheck shell=bash
# The two demo stacks, techmage-dev and techmage-prod: containers, migrations, rows.
#
# Promises: a stack whose containers are healthy and made from the current images is not touched, and its data
# never is. An empty database is migrated by the real Prisma CLI and filled. Needs common.sh and images.sh.

TECHMAGE=$RIG_ROOT/compose/techmage

ensure_stacks() {
    local profile started=()
    write_secret
    for profile in dev prod; do
        stack_is_current "$profile" || started+=("$profile")
    done
    [ ${#started[@]} -gt 0 ] || return 0
    pick_compose
    for profile in "${started[@]}"; do start_stack "$profile"; done
    for profile in "${started[@]}"; do
        wait_for 60 service_is_current "$profile" db envctl-postgres:15 || stack_failed "$profile"
        [ "$profile" != prod ] || match_password
        fill_stack "$profile"
        wait_for 60 stack_is_current "$profile" || stack_failed "$profile"
        say "stack techmage-$profile is up"
    done
    drop_old_images # the old containers held them until now
}

# Readable by everyone: Compose mounts the file with the modes of the host, and the backend is not root.
write_secret() {
    local file=$TECHMAGE/secrets/db_password
    [ -s "$file" ] && return
    (umask 022 && head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$file")
}

container() { docker ps --quiet --filter "label=com.docker.compose.project=techmage-$1" --filter "label=com.docker.compose.service=$2" | head -n 1; }

# Healthy, and made from the images that the tags now name: a rebuilt image is otherwise not noticed.
stack_is_current() {
    service_is_current "$1" db envctl-postgres:15 && service_is_current "$1" backend envctl-backend:20
}

service_is_current() {
    local id
    id=$(container "$1" "$2")
    [ -n "$id" ] && [ "$(docker inspect --format '{{.State.Health.Status}} {{.Image}}' "$id")" = \
        "healthy $(docker image inspect --format '{{.Id}}' "$3")" ]
}

stack_compose() {
    local profile=$1
    shift
    "${RIG_COMPOSE[@]}" -p "techmage-$profile" -f "$TECHMAGE/compose.$profile.yml" "$@"
}

start_stack() {
    local log=$RIG_CACHE/compose-$1.log
    say "starting techmage-$1"
    stack_compose "$1" up -d --remove-orphans >"$log" 2>&1 9>&- && return
    tail -n 15 "$log" >&2
    die "techmage-$1 did not start" "docker ps -a --filter label=com.docker.compose.project=techmage-$1; full output: $log"
}

stack_failed() {
    docker ps -a --filter "label=com.docker.compose.project=techmage-$1" >&2
    die "techmage-$1 is not healthy " "docker logs CONTAINER, for the one above that is not healthy"
}

fill_stack() {
    local backend db log=$RIG_CACHE/fill-$1.log
    backend=$(container "$1" backend)
    db=$(container "$1" db)
    {
        exec_in "$backend" node_modules/.bin/prisma migrate deploy &&
            if [ "$1" = dev ]; then
                exec_in "$backend" node_modules/.bin/prisma db seed
            else
                exec_in -i "$db" psql -X -q -v ON_ERROR_STOP=1 -U techmage -d techmage <"$TECHMAGE/db/production-data.sql"
            fi
    } >"$log" 2>&1 9>&- && return
    tail -n 15 "$log" >&2
    die "techmage-$1 could not be migrated and filled" "full output: $log"
}

# With an end: a backend that cannot reach its database would wait for it for ever.
exec_in() { timeout 120 "$RIG_DOCKER" exec "$@"; }

# The volume outlives the file: a new working tree writes a new secret, and the cluster still knows the old one.
# psql reads the file in the container, so that the password is on no command line.
match_password() {
    docker exec -i "$(container prod db)" psql -X -q -v ON_ERROR_STOP=1 -U techmage -d techmage <<'SQL' ||
\set password `cat /run/secrets/db_password`
ALTER ROLE techmage PASSWORD :'password';
SQL
        die "the password of the techmage-prod db could not be set" "docker logs $(container prod db)"
}
