//! Ending what an exec has started, which the engine's API cannot do (moby#9098).
//!
//! Every process that an interactive exec starts carries a random word in its environment, its children
//! inherit it, and a second exec ends those that carry it: children before parents. The order is not
//! tidiness: in the official PostgreSQL image PID 1 is the postmaster, an orphan falls to it, and one
//! that dies by a signal makes it restart every session (reliability finding 6). A parent that is alive
//! reaps its own.

use std::sync::Arc;
use std::time::Duration;

use super::container::Container;
use super::engine::Engine;
use super::exec::{self, ExecSpec};

/// The variable that marks the processes of one exec.
pub const TAG: &str = "ENVCTL_OP";

/// `$1` is the word. Signals grow harsher: INT to all as a terminal sends it (a shell that waits reaps its
/// child and then goes by itself), TERM to those without children, to all after three seconds, at last KILL.
/// Needs `sh`, `grep` and /proc; sleeps a tenth of a second a round.
const SCRIPT: &str = r#"
round=0
while [ "$round" -lt 80 ]; do
  mine= parents=
  for d in /proc/[0-9]*; do
    p=${d#/proc/}
    [ "$p" = "$$" ] && continue
    line=
    { read -r line <"$d/stat"; } 2>/dev/null || continue
    set -- "$1" ${line##*) }
    parents="$parents $3 "
    [ "$2" = Z ] && continue
    if grep -q "ENVCTL_OP=$1" "$d/environ" 2>/dev/null; then mine="$mine $p"; fi
  done
  [ -n "$mine" ] || exit 0
  if [ "$round" -lt 10 ]; then s=INT; elif [ "$round" -lt 40 ]; then s=TERM; else s=KILL; fi
  case "$round" in 0|5|30|40|5?|6?|7?) all=1 ;; *) all= ;; esac
  later=
  for p in $mine; do
    case "$parents" in *" $p "*) later="$later $p" ;; *) kill -s "$s" "$p" 2>/dev/null ;; esac
  done
  [ -z "$all" ] || for p in $later; do kill -s "$s" "$p" 2>/dev/null; done
  sleep 0.1
  round=$((round + 1))
done
exit 1
"#;

/// The longest this may take.
const LIMIT: Duration = Duration::from_secs(12);

/// Ends every process in `container` that carries `word`; gives whether all are gone.
/// Never fails otherwise: an image without `sh` leaves the process to its own end of input.
pub async fn end_marked(
    engine: &Arc<dyn Engine>,
    container: &Container,
    user: Option<&str>,
    word: &str,
) -> bool {
    let spec = ExecSpec::new(["sh", "-c", SCRIPT, "envctl", word]).user(user);
    let run = exec::capture(engine, container, &spec, None);
    matches!(tokio::time::timeout(LIMIT, run).await, Ok(Ok(captured)) if captured.exit_code == 0)
}
