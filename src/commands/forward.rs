//! `envctl forward`: a local port to a port in a container.

use std::sync::Arc;

use serde::Serialize;

use crate::commands::shared::context::CommandContext;
use crate::docker::forward::{Forward, ForwardMethod, find_method, listen, serve};
use crate::error::{ErrorKind, Result};
use crate::progress::Progress;

/// Arguments of `forward`.
#[derive(clap::Args, Debug)]
pub(crate) struct ForwardArgs {
    /// backend, db, a service or a container
    #[arg(value_name = "ROLE|SERVICE")]
    target: String,
    /// The container's port, and the local one before it; 0 takes a free one
    #[arg(value_name = "[LOCAL:]PORT", value_parser = ports)]
    ports: Ports,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ports {
    local: u16,
    port: u16,
}

fn ports(text: &str) -> Result<Ports, String> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no port"));
    let (local, port) = match text.split_once(':') {
        Some((local, port)) => (number(local)?, number(port)?),
        None => (number(text)?, number(text)?),
    };
    if port == 0 { Err("a container has no port 0".to_owned()) } else { Ok(Ports { local, port }) }
}

#[derive(Serialize)]
struct ForwardAnswer {
    address: String,
    container: String,
    port: u16,
    method: String,
}

/// # Errors
/// Kind `Usage`: the local port. `Tool`: no way to the port. `Target`: the container stopped meanwhile.
pub(crate) async fn run(args: ForwardArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("forward", "name it with `-s STACK`")?;
    let stack = ctx.stack().await?;
    let container = stack.any_container(&args.target)?;
    let Ports { local, port } = args.ports;
    let listener = listen(local).await?;
    let finding = find_method(&container, port);
    let method = ctx.cancel.run_until_cancelled(finding).await??;
    let address = listener.local_addr().map_or_else(|_| format!("127.0.0.1:{local}"), |at| at.to_string());
    let by = match method {
        ForwardMethod::Direct(at) => format!("at {at}"),
        ForwardMethod::Bridge(tool) => {
            format!("by {} in the container, one for each connection", tool.name())
        }
    };
    let answer = ForwardAnswer { address, container: container.name.clone(), port, method: by };
    ctx.ui.show(&answer, |_| format!("{}\n", answer.address));
    ctx.ui
        .say(&format!("forwards to port {port} of {}, {}; Ctrl-C ends it", answer.container, answer.method));
    let progress: Arc<dyn Progress> = ctx.ui.progress();
    let forward = Forward { container, port, method };
    match serve(forward, listener, &progress, &ctx.cancel).await {
        // Nobody ends a forward in any other way.
        Err(ended) if ended.kind() == ErrorKind::Cancelled(2) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_number_or_two() {
        assert_eq!(ports("5432"), Ok(Ports { local: 5432, port: 5432 }));
        assert_eq!(ports("0:5432"), Ok(Ports { local: 0, port: 5432 }));
        for wrong in ["", "x", "1:", ":1", "70000", "1:0", "1:2:3"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }
}
