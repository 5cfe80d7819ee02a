# shellcheck shell=bash
# The database container that scripts/bench measures, and its rows.
#
# Promises: the rows lie in a volume named after their recipe and are made once; a half-filled volume is
# noticed and filled again. The container is made anew where it is missing, and looks to envctl like service
# `db` of compose project `envctl-bench-dev`. Needs common.sh and an engine that answers.

BENCH_IMAGE=envctl-postgres:15
BENCH_CONTAINER=envctl-bench-db
BENCH_PROJECT=envctl-bench-dev
BENCH_SQL=$RIG_ROOT/scripts/lib/bench-data.sql

# Without a network: everything here goes through exec, and nobody else can reach it.
start_bench_db() {
    local rows=$1 volume started
    volume=envctl-bench-$rows-$({ docker image inspect --format '{{.Id}}' "$BENCH_IMAGE"; cat "$BENCH_SQL"; } | sha256sum | cut -c1-12)
    if [ "$(docker inspect --format '{{range .Mounts}}{{.Name}}{{end}} {{.State.Running}}' "$BENCH_CONTAINER" 2>/dev/null)" != "$volume true" ]; then
        stop_bench_db
        docker run --detach --name "$BENCH_CONTAINER" --network none --volume "$volume:/var/lib/postgresql/data" \
            --env POSTGRES_USER=bench --env POSTGRES_PASSWORD=bench --env POSTGRES_DB=bench \
            --label "com.docker.compose.project=$BENCH_PROJECT" --label com.docker.compose.service=db \
            --label com.docker.compose.container-number=1 --label com.docker.compose.oneoff=False \
            --label com.docker.compose.config-hash=bench \
            "$BENCH_IMAGE" >/dev/null || die "the database of the benchmark did not start" "docker logs $BENCH_CONTAINER"
    fi
    started=$SECONDS
    # The first start serves the socket before it is ready, then starts again: TCP comes only with the second.
    until docker exec "$BENCH_CONTAINER" pg_isready -q -h 127.0.0.1; do
        [ $((SECONDS - started)) -lt 120 ] || die "the database of the benchmark does not answer" "docker logs $BENCH_CONTAINER"
        sleep 0.5
    done
    fill_bench_db "$rows"
}

bench_psql() { docker exec -i "$BENCH_CONTAINER" psql -X -q -A -t -v ON_ERROR_STOP=1 -U bench -d "$1" "${@:2}"; }

# The comment is the mark of a finished filling. It lies on the server's own database, because restores
# replace the measured one.
fill_bench_db() {
    if [ "$(bench_psql postgres -c "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'postgres'")" = "filled with $1" ]; then
        drop_leftovers
        return
    fi
    say "making the data set once: 2 tables of $1 rows (some minutes)"
    bench_psql postgres -c 'DROP DATABASE IF EXISTS bench WITH (FORCE)' -c 'CREATE DATABASE bench'
    bench_psql bench -v "rows=$1" -f - <"$BENCH_SQL"
    bench_psql postgres -c "COMMENT ON DATABASE postgres IS 'filled with $1'"
}

# What an interrupted run left beside the measured database.
drop_leftovers() {
    bench_psql postgres <<'SQL'
SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
WHERE datname NOT IN ('bench', 'postgres', 'template0', 'template1') \gexec
SQL
}

# Stopped in order first: a killed server would spend the next start on recovery.
stop_bench_db() {
    docker stop --time 60 "$BENCH_CONTAINER" >/dev/null 2>&1 || true
    docker rm -f "$BENCH_CONTAINER" >/dev/null 2>&1 || true
}
