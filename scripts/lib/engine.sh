# shellcheck shell=bash
# The Docker engine: install it, start it where no service manager does, survive its unclean ends.
#
# Promises: an engine that answers is left alone, wherever DOCKER_HOST points. Nothing is killed.
# Files under /run/docker and /run/containerd are removed only when no process uses them.

ENGINE_LOG=/var/log/envctl-dockerd.log
CONTAINERD_LOG=/var/log/envctl-containerd.log
CONTAINERD_SOCKET=/run/containerd/containerd.sock

ensure_engine() {
    if pick_docker; then
        ! started_by_hand || containerd_answers || revive_containerd
        return
    fi
    [ -z "${DOCKER_HOST:-}" ] ||
        die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST" "start that one, or unset DOCKER_HOST to use the local engine"
    need_root "starting the Docker engine"
    need dockerd=docker.io iptables=iptables
    if [ -d /run/systemd/system ]; then
        systemctl start docker || die "systemd could not start docker" "journalctl -u docker -n 50"
    else
        sweep_stale_state
        containerd_answers || start_containerd
        running dockerd /run/docker.pid || detach "$ENGINE_LOG" dockerd --containerd="$CONTAINERD_SOCKET"
    fi
    wait_for 60 pick_docker || engine_failed
    say "engine $(docker version --format '{{.Server.Version}}') is up"
}

# dockerd answers without its containerd too, but starts no container. It connects again by itself, at most
# 3 s after the last attempt.
revive_containerd() {
    say "containerd is gone; starting it again"
    start_containerd
    sleep 4
}

start_containerd() {
    need_root "starting containerd"
    detach "$CONTAINERD_LOG" containerd
    wait_for 20 containerd_answers || die "containerd does not answer" "tail -n 50 $CONTAINERD_LOG"
}

started_by_hand() {
    running dockerd /run/docker.pid && tr '\0' ' ' <"/proc/$(cat /run/docker.pid)/cmdline" | grep -q -- "--containerd=$CONTAINERD_SOCKET"
}

# detach LOG COMMAND…: a session of its own and no inherited descriptors, so that it outlives this script
# and its terminal, and does not hold the lock.
detach() {
    local log=$1
    shift
    setsid nohup "$@" </dev/null >>"$log" 2>&1 9>&- &
}

containerd_answers() { [ -S "$CONTAINERD_SOCKET" ] && ctr --timeout 2s --address "$CONTAINERD_SOCKET" version >/dev/null 2>&1; }

# running NAME PIDFILE: whether the process in the file is really that program, and not another one
# that was given the number since.
running() {
    local pid
    pid=$(cat "$2" 2>/dev/null) && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]
}

# After a power cut, or where /run is on disk, pid files, sockets and runc's state of dead containers stay.
# dockerd refuses to start on its old pid file, and runc refuses a container whose old state is there.
sweep_stale_state() {
    ! running dockerd /run/docker.pid || return 0
    rm -f /run/docker.pid
    if shims_alive || containerd_answers; then return 0; fi
    refuse_orphans
    local mount
    awk '$2 ~ "^/run/(docker|containerd)/" {print $2}' /proc/self/mounts | while read -r mount; do
        umount -l "$mount" 2>/dev/null || true
    done
    rm -rf /run/docker /run/containerd /run/docker.sock
}

# Containers outlive a killed dockerd through their shims; their state in /run is then still in use.
shims_alive() {
    local cmdline
    for cmdline in /proc/[0-9]*/cmdline; do
        tr '\0' ' ' <"$cmdline" 2>/dev/null | grep -q "containerd-shim.* -address $CONTAINERD_SOCKET" && return 0
    done
    return 1
}

# A container whose shim was killed runs on without one, unknown to the engine. Started again, a database would have two
# servers in one data directory, which destroys it.
refuse_orphans() {
    local dir id orphans=()
    for dir in /proc/[0-9]*; do
        id=$(sed -n 's|.*/docker[/-]\([0-9a-f]\{64\}\).*|\1|p' "$dir/cgroup" 2>/dev/null | head -n 1)
        [ -z "$id" ] || [ ! -d "/var/lib/docker/containers/$id" ] || orphans+=("${dir#/proc/}")
    done
    [ ${#orphans[@]} = 0 ] || die "processes of containers are still running, but what supervised them is gone" "kill ${orphans[*]}"
}

wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

engine_failed() {
    [ ! -r "$ENGINE_LOG" ] || tail -n 15 "$ENGINE_LOG" >&2
    die "the Docker engine does not answer after 60 s" "read $ENGINE_LOG; the usual causes are iptables and a full disk"
}
