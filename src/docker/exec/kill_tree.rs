//! Ending what an exec has started, which the engine's API cannot do (moby#9098).
//!
//! Every process that an interactive exec starts carries a random word in its environment, its children
//! inherit it, and a second exec ends those that carry it: children before parents. The order is not
//! tidiness: in the official PostgreSQL image PID 1 is the postmaster, an orphan falls to it, and one
//! that dies by a signal makes it end all sessions and recover (reliability finding 6). A parent that is alive
//! reaps its own. Below a [`super::subreaper`] orphans have such a parent.

use std::fmt;
use std::time::Duration;

use crate::docker::container::Container;
use crate::docker::exec::spec::ExecSpec;

/// The variable that marks the processes of one exec.
pub(crate) const TAG: &str = "ENVCTL_OP";

/// `$1` is the word. Signals grow harsher: INT at first, then TERM, at last KILL. Needs `sh`, `grep` and /proc; prints
/// what is left. Children of those that carry the word are taken for them, whatever they have made of their environment.
///
/// Usually INT goes to all at once as a terminal sends it (a shell that waits reaps its child and then goes by itself),
/// TERM to those without children and to all after three seconds. Beside a postmaster as PID 1 no process may die that
/// has a child, not even a dead one that is not reaped yet. So parents are held (STOP), that they start nothing new,
/// and let go for as long as it takes them to reap: whoever looks at nothing else sees that sooner than a loop starts
/// its next child. Orphans there are left alone.
///
/// A reaper is never signalled: it ends when it has no descendant left, and every descendant of it is ended. Below it
/// no process becomes an orphan of the postmaster, so signals go as beside an init.
const SCRIPT: &str = r#"
token=$1 round=0 held= known=' ' one=
read -r start _ </proc/uptime
{ read -r one </proc/1/comm; } 2>/dev/null
case $one in postgres|postmaster) bare=1 ;; *) bare= ;; esac
careful=$bare
look() {
  mine= orphans= tree= reapers=
  marked=$(grep -ls "ENVCTL_OP=$token" /proc/[0-9]*/environ 2>/dev/null)
  for d in /proc/[0-9]*; do
    p=${d#/proc/}
    [ "$p" = "$$" ] && continue
    line=
    { read -r line <"$d/stat"; } 2>/dev/null || continue
    case "$line" in *' (envctl-reaper) '*) reaper=1 ;; *) reaper= ;; esac
    set -- ${line##*) }
    tree="$tree $2>$p$1 "
    [ "$1" = Z ] && continue
    # A process that was marked once stays so, whatever it has made of its environment since.
    case "$known" in
      *" $p "*) ;;
      *)
        case "$marked" in *"/proc/$p/environ"*) known="$known$p " ;; *) continue ;; esac ;;
    esac
    if [ -n "$reaper" ]; then
      reapers="$reapers $p" careful=
    elif [ -n "$bare" ] && [ "$2" = 1 ]; then
      orphans="$orphans $p"
    else
      mine="$mine $p"
    fi
  done
  more=1
  while [ -n "$more" ]; do
    more=
    for p in $tree; do
      case "$p" in *Z) continue ;; esac
      parent=${p%%>*} p=${p#*>} p=${p%%[!0-9]*}
      case "$mine$reapers " in *" $p "*) continue ;; *" $parent "*) mine="$mine $p" more=1 ;; esac
    done
  done
  leaves= parents=
  for p in $mine; do
    case "$tree" in *" $p>"*) parents="$parents $p" ;; *) leaves="$leaves $p" ;; esac
  done
}
send() {
  signal=$1
  shift
  for p in "$@"; do kill -s "$signal" "$p" 2>/dev/null; done
}
reap() {
  dead=
  for p in $tree; do
    case "$p" in
      "$1>"*Z) p=${p#*>} dead="$dead ${p%Z}" ;;
      "$1>"*) return ;;
    esac
  done
  send CONT "$1"
  i=0
  while [ "$i" -lt 2000 ]; do
    there=
    for p in $dead; do [ -e "/proc/$p" ] && there=1; done
    [ -n "$there" ] || break
    i=$((i + 1))
  done
  send STOP "$1"
}
while look; read -r now _ </proc/uptime; age=$((${now%%.*} - ${start%%.*})); [ -n "$mine$reapers" ] && { [ "$age" -lt 10 ] || [ "$round" -lt 4 ]; }; do
  s=KILL
  # A round may take seconds on a loaded machine: no signal is left out.
  if [ "$round" -lt 10 ] && { [ "$age" -lt 3 ] || [ "$round" = 0 ]; }; then s=INT
  elif [ "$round" -lt 40 ] && { [ "$age" -lt 6 ] || [ "$round" = 1 ]; }; then s=TERM; fi
  if [ -n "$careful" ]; then
    held="$held $parents"
    send STOP $parents
    look
    send "$s" $leaves
    send CONT $leaves
    for tries in 1 2 3 4 5; do
      sleep 0.02
      look
      for parent in $parents; do reap "$parent"; done
      look
      [ -z "$leaves" ] || break
    done
  else
    send "$s" $leaves
    case "$round$s" in 0*|5*|30*|*KILL) send "$s" $parents ;; esac
    sleep 0.1
  fi
  round=$((round + 1))
done
send CONT $held
[ -n "$mine$orphans" ] || exit 0
for p in $mine $orphans; do
  one=
  { read -r one <"/proc/$p/comm"; } 2>/dev/null && printf '%s %s\n' "$p" "$one"
done
exit 1
"#;

/// Longest duration of [`SCRIPT`] with its start: 10 s of its own, and what a loaded engine needs to begin an exec.
const LIMIT: Duration = Duration::from_secs(20);

/// Processes that are named of those that are left.
const MOST_NAMED: usize = 8;

/// Ends every process in `container` that carries `value`.
///
/// # Errors
/// [`SurvivingProcesses`]: the processes that could not be ended. The list is empty where the processes are unknown.
pub(crate) async fn end_marked(
    container: &Container,
    user: Option<&str>,
    value: &str,
) -> Result<(), SurvivingProcesses> {
    let spec = ExecSpec::new(["sh", "-c", SCRIPT, "envctl", value]).user(user);
    let run = container.capture(&spec, None);
    let container = container.name.clone();
    match tokio::time::timeout(LIMIT, run).await {
        Ok(Ok(captured)) if captured.exit_code == 0 => Ok(()),
        Ok(Ok(captured)) if captured.exit_code == 1 => {
            // A container's own `sh` may say anything, and much of it.
            let process = |line: &str| line.chars().take(40).collect();
            let processes = captured.text().lines().take(MOST_NAMED).map(process).collect();
            Err(SurvivingProcesses { container, processes })
        }
        _ => Err(SurvivingProcesses { container, processes: Vec::new() }),
    }
}

/// Error for processes that could not be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SurvivingProcesses {
    container: String,
    /// `PID NAME` each; none where that is not known.
    processes: Vec<String>,
}

impl fmt::Display for SurvivingProcesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { container, processes } = self;
        if processes.is_empty() {
            return write!(
                f,
                "what was started in container {container} may run on there: look with `docker top {container}`"
            );
        }
        write!(f, "still running in container {container}: process {}", processes.join(", "))
    }
}
