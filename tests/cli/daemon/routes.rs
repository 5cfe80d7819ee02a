//! Which request gets which answer.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::exec::Execution;
use super::http::{Connection, Request};
use super::{Engine, Manner, lock};
use crate::container::Container;

/// Reads one request and answers it in the engine's manner.
pub(super) fn serve(engine: &Arc<Engine>, mut connection: Connection) -> io::Result<()> {
    match engine.manner() {
        Manner::HangingUp => {
            connection.hang_up();
            return Ok(());
        }
        Manner::Babbling => {
            connection.request()?;
            connection.writer.write_all(b"220 mail.example ESMTP ready\r\n")?;
            connection.hang_up();
            return Ok(());
        }
        _ => {}
    }
    let request = connection.request()?;
    lock(&engine.requests).push(format!("{} {}", request.method, request.path));
    match engine.manner() {
        Manner::Silent => silence(&mut connection),
        Manner::WebServer(body) => connection.answer(200, "text/html", body),
        Manner::Refusing(status, message) => connection.refuse(status, message),
        _ => answer(engine, &request, &mut connection),
    }
}

/// Until the client loses patience.
fn silence(connection: &mut Connection) -> io::Result<()> {
    io::copy(&mut connection.reader, &mut io::sink()).map(drop)
}

fn answer(engine: &Arc<Engine>, request: &Request, connection: &mut Connection) -> io::Result<()> {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["version"]) => connection.json(
            200,
            &json!({"Version": "20.10.24+dfsg1", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}),
        ),
        ("GET", ["info"]) => connection
            .json(200, &json!({"OperatingSystem": "Debian GNU/Linux 12", "SecurityOptions": ["name=seccomp,profile=default"]})),
        ("GET", ["containers", "json"]) => {
            let rows: Vec<_> = lock(&engine.containers).iter().rev().map(Container::row).collect();
            connection.json(200, &rows.into())
        }
        ("GET", ["containers", id, "json"]) => match engine.container(id) {
            Some(container) => connection.json(200, &container.inspect()),
            None => connection.refuse(404, &format!("No such container: {id}")),
        },
        ("GET", ["containers", id, "logs"]) => logs(engine, id, request, connection),
        ("GET", ["images", id, "json"]) => match lock(&engine.containers).iter().find(|c| c.image_id() == *id) {
            Some(container) => connection.json(200, &container.image_inspect()),
            None => connection.refuse(404, &format!("No such image: {id}")),
        },
        ("DELETE", ["containers", id]) => {
            let mut containers = lock(&engine.containers);
            let before = containers.len();
            containers.retain(|container| container.id != *id && container.name != *id);
            let gone = containers.len() < before;
            drop(containers);
            if gone { connection.answer(204, "text/plain", "") } else { connection.refuse(404, &format!("No such container: {id}")) }
        }
        ("POST", ["containers", id, "exec"]) => create(engine, id, request, connection),
        ("POST", ["exec", id, "start"]) => start(engine, id, connection),
        ("POST", ["exec", id, "resize"]) => match find(engine, id) {
            Some(_) => connection.json(200, &json!({})),
            None => connection.refuse(404, &format!("No such exec instance: {id}")),
        },
        ("GET", ["exec", id, "json"]) => match find(engine, id) {
            Some(execution) => {
                let code = execution.exit_code();
                connection.json(200, &json!({"ID": id, "Running": code.is_none(), "ExitCode": code}))
            }
            None => connection.refuse(404, &format!("No such exec instance: {id}")),
        },
        _ => connection.refuse(404, "page not found"),
    }
}

fn find(engine: &Engine, id: &str) -> Option<Arc<Execution>> {
    lock(&engine.executions).iter().find(|execution| execution.id == id).cloned()
}

fn create(engine: &Engine, id: &str, request: &Request, connection: &mut Connection) -> io::Result<()> {
    let Some(container) = engine.container(id) else {
        return connection.refuse(404, &format!("No such container: {id}"));
    };
    match container.state.as_str() {
        "running" => {}
        "paused" => {
            let text = format!("Container {} is paused, unpause the container before exec", container.name);
            return connection.refuse(409, &text);
        }
        "restarting" => {
            let text =
                format!("Container {} is restarting, wait until the container is running", container.id);
            return connection.refuse(409, &text);
        }
        _ => return connection.refuse(409, &format!("Container {} is not running", container.id)),
    }
    let mut executions = lock(&engine.executions);
    let execution = Execution::read(executions.len(), &container.name, &request.body);
    let id = execution.id.clone();
    executions.push(Arc::new(execution));
    drop(executions);
    connection.json(201, &json!({"Id": id}))
}

fn start(engine: &Arc<Engine>, id: &str, connection: &mut Connection) -> io::Result<()> {
    let Some(execution) = find(engine, id) else {
        return connection.refuse(404, &format!("No such exec instance: {id}"));
    };
    if engine.manner() == Manner::WithoutUpgrade {
        return connection.answer(200, "application/vnd.docker.raw-stream", "");
    }
    connection.writer.write_all(
        b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
          Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    )?;
    if engine.manner() == Manner::CuttingStreams {
        connection.writer.write_all(&[1, 0, 0, 0, 0, 0, 1, 0])?;
        connection.writer.write_all(b"half a frame")?;
        connection.hang_up();
        return Ok(());
    }
    execution.run(engine, connection);
    connection.hang_up();
    Ok(())
}

/// The container's lines, framed unless it has a terminal, and with `follow` the rest of the day.
fn logs(engine: &Engine, id: &str, request: &Request, connection: &mut Connection) -> io::Result<()> {
    let Some(container) = engine.container(id) else {
        return connection.refuse(404, &format!("No such container: {id}"));
    };
    let asked = |name: &str| request.query.get(name).map(String::as_str);
    let tail = asked("tail").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let lines = &container.log[container.log.len().saturating_sub(tail)..];
    connection.writer.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    for (output, line) in lines {
        let mut bytes = Vec::new();
        let stamp = if asked("timestamps") == Some("true") { "2026-01-02T03:04:05.678901234Z " } else { "" };
        let line = format!("{stamp}{line}\n");
        if !container.tty {
            bytes.extend([*output, 0, 0, 0]);
            bytes.extend((line.len() as u32).to_be_bytes());
        }
        bytes.extend(line.as_bytes());
        write!(connection.writer, "{:x}\r\n", bytes.len())?;
        connection.writer.write_all(&bytes)?;
        connection.writer.write_all(b"\r\n")?;
    }
    if asked("follow") == Some("true") {
        connection.writer.flush()?;
        let mut byte = [0];
        while connection.reader.read(&mut byte)? > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    connection.writer.write_all(b"0\r\n\r\n")
}
