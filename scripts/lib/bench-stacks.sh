# shellcheck shell=bash
# The twenty stacks that scripts/bench measures: a small database and an idle backend each.
#
# Promises: one database is made and migrated by the real Prisma CLI, then copied as an image, so that twenty
# start in seconds; everything is named and labelled envctl-bench-stack and is gone afterwards. Needs common.sh.

STACKS_COUNT=20
STACKS_IMAGE=envctl-bench-stack
STACKS_LABEL=envctl-bench-stacks

# Everything a compose project of its own would say of the service.
stack_labels() {
    printf -- '--label=com.docker.compose.%s\n' "project=$1" "service=$2" container-number=1 oneoff=False \
        config-hash=bench
    printf -- '--label=%s\n' "$STACKS_LABEL"
}

start_bench_stacks() {
    stop_bench_stacks
    say "starting $STACKS_COUNT stacks"
    make_stack_image
    local number stack labels
    for number in $(seq -w "$STACKS_COUNT"); do
        stack=$STACKS_LABEL$number-dev
        mapfile -t labels < <(stack_labels "$stack" db)
        docker run --detach --name "$stack-db-1" --network none "${labels[@]}" "$STACKS_IMAGE" >/dev/null
        mapfile -t labels < <(stack_labels "$stack" backend)
        docker run --detach --name "$stack-backend-1" --network "container:$stack-db-1" "${labels[@]}" \
            --env DATABASE_URL=postgresql://techmage:techmage@127.0.0.1:5432/techmage \
            --entrypoint sleep envctl-backend:20 infinity >/dev/null
    done
    for number in $(seq -w "$STACKS_COUNT"); do
        wait_for 60 docker exec "$STACKS_LABEL$number-dev-db-1" pg_isready -q -h 127.0.0.1 ||
            die "a database of the benchmark does not answer" "docker logs $STACKS_LABEL$number-dev-db-1"
    done
}

# PGDATA outside of the image's volume: a commit takes what lies in the container, and no volume.
make_stack_image() {
    local db=$STACKS_LABEL-template
    docker run --detach --name "$db" --network none --label "$STACKS_LABEL" --env PGDATA=/srv/data \
        --env POSTGRES_USER=techmage --env POSTGRES_PASSWORD=techmage --env POSTGRES_DB=techmage \
        envctl-postgres:15 -c fsync=off -c shared_buffers=8MB -c max_connections=20 >/dev/null
    wait_for 60 docker exec "$db" pg_isready -q -h 127.0.0.1 || die "the template does not start" "docker logs $db"
    docker run --rm --network "container:$db" --label "$STACKS_LABEL" --entrypoint node_modules/.bin/prisma \
        --env DATABASE_URL=postgresql://techmage:techmage@127.0.0.1:5432/techmage \
        envctl-backend:20 migrate deploy >/dev/null || die "the template could not be migrated" "docker logs $db"
    docker stop --time 30 "$db" >/dev/null
    docker commit "$db" "$STACKS_IMAGE" >/dev/null
    docker rm --volumes "$db" >/dev/null
}

stop_bench_stacks() {
    docker ps --all --quiet --filter "label=$STACKS_LABEL" | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
    docker image rm "$STACKS_IMAGE" >/dev/null 2>&1 || true
}
