//! A local port to a port in a container, published or not.
//!
//! Two ways: the container's own address, where this host reaches it, else one exec a connection that bridges
//! its streams to the port with what the image has ([`crate::docker::forward::exec_bridge`]).
//!
//! Promises: listens on 127.0.0.1 alone; each side's end reaches the other as an end and not as a broken
//! connection; a slow reader slows the writer; whatever runs in the container ends with us.

pub(crate) mod exec_bridge;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use exec_bridge::BridgeTool;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::container::Container;
use crate::cancel::CancelToken;
use crate::docker::exec::kill_tree;
use crate::docker::forward::exec_bridge::BUFFER;
use crate::error::{self, Error, Result};
use crate::progress::{Event, Progress};
use crate::random::nonce;

/// Route of the bytes to the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForwardMethod {
    /// Straight to the container's address.
    Direct(SocketAddr),
    /// Through an exec of this tool for each connection.
    Bridge(BridgeTool),
}

/// Port of a container to forward to, with the route to the port.
pub(crate) struct Forward {
    /// The engine.
    /// The container.
    pub(crate) container: Container,
    /// Port of the container.
    pub(crate) port: u16,
    /// Route to the port.
    pub(crate) method: ForwardMethod,
}

/// Time limit for a connection to the container's own address. A bridge network on this host answers at once.
const DIRECT_LIMIT: Duration = Duration::from_millis(500);
/// Interval between two inspections of the container.
const LOOK: Duration = Duration::from_secs(2);

/// Opens the local port; 0 takes any that is free.
///
/// # Errors
/// Kind `Usage`: it is in use, or not ours to take.
pub(crate) async fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((IpAddr::from([127, 0, 0, 1]), port)).await.map_err(|cause| {
        let busy = cause.kind() == std::io::ErrorKind::AddrInUse;
        let error = error::usage(if busy {
            format!("port {port} of this machine is in use")
        } else {
            format!("port {port} of this machine cannot be opened")
        });
        let error = if busy {
            error.hint("take any free one: `0:PORT`; list what listens: `ss -ltnp`")
        } else {
            error
        };
        error.because(cause)
    })
}

/// Finds a way to a port. Only the networks of a daemon on this host may be reached.
///
/// # Errors
/// Kind `BridgeTool`: nothing in the image can bridge, or nothing listens on the port.
pub(crate) async fn find_method(container: &Container, port: u16) -> Result<ForwardMethod> {
    let local = container.engine().address().starts_with("unix://");
    let addresses = container.addresses.values().filter_map(|text| text.parse::<IpAddr>().ok());
    for address in addresses.filter(|_| local) {
        let address = SocketAddr::new(address, port);
        if let Ok(Ok(_)) = tokio::time::timeout(DIRECT_LIMIT, TcpStream::connect(address)).await {
            return Ok(ForwardMethod::Direct(address));
        }
    }
    let tool = crate::docker::forward::exec_bridge::find(container).await?.ok_or_else(|| {
        error::tool(format!(
            "port {port} of container {} is not reached from here, and its image has nothing to bridge with",
            container.name
        ))
        .note(format!("it looks for {}", crate::docker::forward::exec_bridge::names()))
        .hint("publish the port in the compose file: `ports: [\"127.0.0.1:LOCAL:PORT\"]`")
    })?;
    Ok(ForwardMethod::Bridge(tool))
}

/// Reports whether something listens on the port at the end of a route.
pub(crate) async fn answers(container: &Container, method: ForwardMethod, port: u16) -> bool {
    match method {
        // It was found by connecting.
        ForwardMethod::Direct(_) => true,
        ForwardMethod::Bridge(tool) => {
            crate::docker::forward::exec_bridge::answers(container, tool, port).await
        }
    }
}

/// Serves until the user stops or the container does.
///
/// # Errors
/// `Cancelled`, the usual end. `Target`: the container stopped or was started anew.
pub(crate) async fn serve(
    forward: Forward,
    listener: TcpListener,
    progress: &Arc<dyn Progress>,
    cancel: &CancelToken,
) -> Result<()> {
    let value = nonce();
    let forward = Arc::new(forward);
    let mut connections = JoinSet::new();
    let ended = loop {
        tokio::select! {
            biased;
            signal = cancel.wait() => break crate::cancel::cancelled(signal),
            gone = watch(&forward) => break gone,
            Some(done) = connections.join_next() => {
                if let Ok(Err(error)) = done {
                    progress.on(Event::Warning(error_text(&error)));
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let (forward, value) = (forward.clone(), value.clone());
                    connections.spawn(async move { connect(&forward, socket, &value).await });
                }
                // Out of descriptors: those that are open go on.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    };
    drop(listener);
    connections.abort_all();
    if let ForwardMethod::Bridge(_) = forward.method
        && let Err(left) = kill_tree::end_marked(&forward.container, None, &value).await
    {
        return Err(ended.hint(left.to_string()));
    }
    Err(ended)
}

fn error_text(error: &Error) -> String {
    format!("a connection ended: {}", error.full_message())
}

async fn connect(forward: &Forward, mut socket: TcpStream, value: &str) -> Result<()> {
    let _ = socket.set_nodelay(true);
    match forward.method {
        ForwardMethod::Direct(address) => {
            let mut there = TcpStream::connect(address).await.map_err(|e| {
                error::tool(format!("nothing answers on port {} of {}", forward.port, forward.container.name))
                    .because(e)
            })?;
            let _ = there.set_nodelay(true);
            // Either side may break off; that is its business and reaches the other.
            let _ = tokio::io::copy_bidirectional_with_sizes(&mut socket, &mut there, BUFFER, BUFFER).await;
            Ok(())
        }
        ForwardMethod::Bridge(tool) => {
            crate::docker::forward::exec_bridge::carry(&forward.container, tool, forward.port, socket, value)
                .await
        }
    }
}

/// Resolves when the container is not what it was.
async fn watch(forward: &Forward) -> Error {
    let name = &forward.container.name;
    loop {
        tokio::time::sleep(LOOK).await;
        match forward.container.inspect().await {
            Ok(Some(now)) if now.is_running() && now.started == forward.container.started => {}
            Ok(Some(now)) if now.is_running() => {
                return error::target(format!("container {name} was started anew"))
                    .hint("run the same command again");
            }
            Ok(Some(now)) => return error::target(format!("container {name} is {} now", now.state)),
            Ok(None) => return error::target(format!("container {name} was removed")),
            // A daemon that restarts with its containers alive comes back.
            Err(_) => {}
        }
    }
}
