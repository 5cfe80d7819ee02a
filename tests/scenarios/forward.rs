//! `forward`: straight and through every bridge, many connections, half-close, and what is left afterwards.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::rig::{docker, eventually, poll, try_docker};
use crate::support::{Project, Running, Server};

/// Reads everything, then sends it back in capitals: an answer that comes only after the other side's end.
const ECHO: &str = "
const net = require('net');
net.createServer({ allowHalfOpen: true }, (s) => {
  const parts = []; s.on('data', (d) => parts.push(d)); s.on('error', () => {});
  s.on('end', () => s.end(Buffer.concat(parts).toString('latin1').toUpperCase(), 'latin1'));
}).listen(7000, process.argv[1]);
// A source of bytes without an end of its own accord, to be read slowly.
net.createServer((s) => {
  let left = +process.argv[2]; const block = Buffer.alloc(65536, 120); s.on('error', () => {});
  const more = () => { while (left > 0) { left -= block.length; if (!s.write(block)) return s.once('drain', more); } s.end(); };
  more();
}).listen(7001, process.argv[1]);
";

/// What the source of bytes sends: 1 GiB.
const BYTES: usize = 1 << 30;

struct Echo {
    project: Project,
    container: String,
    service: String,
}

impl Echo {
    /// Listens on this address, with only these tools to be found.
    fn new(address: &str, tools: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = Server::shared(15);
        let project = Project::of(server, "postgres");
        let service = format!("echo{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let project_name = format!("{}-{}", server.stack, server.profile);
        let container = format!("{project_name}-{service}-1");
        let bytes = BYTES.to_string();
        docker(&[
            "run",
            "--detach",
            "--rm",
            "--user=root",
            "--entrypoint=node",
            &format!("--name={container}"),
            &format!("--label=com.docker.compose.project={project_name}"),
            &format!("--label=com.docker.compose.service={service}"),
            "--label=com.docker.compose.container-number=1",
            "--label=com.docker.compose.oneoff=False",
            &format!("--label=rig.run={}", std::process::id()),
            "--env=NODE_OPTIONS=",
            "envctl-backend:20",
            "-e",
            ECHO,
            address,
            &bytes,
        ]);
        for tool in ["socat", "python3", "perl", "node", "nc", "bash"] {
            if !tools.contains(&tool) {
                let _ = try_docker(&[
                    "exec",
                    &container,
                    "sh",
                    "-c",
                    "p=$(command -v \"$1\") && mv \"$p\" \"$p.hidden\"",
                    "sh",
                    tool,
                ]);
            }
        }
        Self { project, container, service }
    }

    /// Starts a forward to this port and gives its address.
    fn forward(&self, port: u16) -> (Running, String) {
        Running::first_line(&mut self.project.command(&["forward", &self.service, &format!("0:{port}")]))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "-f", &self.container]);
    }
}

fn ask(address: &str, words: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.write_all(words).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    answer
}

fn everything_at_once(address: &str, connections: usize) {
    let asked: Vec<_> = (0..connections)
        .map(|n| {
            let address = address.to_owned();
            std::thread::spawn(move || {
                let words = format!("connection {n} ").repeat(2000);
                assert_eq!(ask(&address, words.as_bytes()), words.to_uppercase().as_bytes());
            })
        })
        .collect();
    for one in asked {
        one.join().unwrap();
    }
}

#[test]
fn a_hundred_connections_straight_to_the_container() {
    let echo = Echo::new("0.0.0.0", &["node"]);
    // Before it listens its address answers nobody, and a bridge is taken.
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let own = format!("{}:7000", docker(&["inspect", "--format", format, &echo.container]));
    eventually(Duration::from_secs(30), "the server is up", || TcpStream::connect(&own).is_ok());
    let (running, address) = echo.forward(7000);
    everything_at_once(&address, 100);
    running.signal(Signal::INT);
    running.finish().code(0).says(":7000");
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn through_each_tool_of_an_image_and_nothing_is_left() {
    for tool in ["node", "perl", "bash"] {
        let echo = Echo::new("127.0.0.1", &[tool]);
        let (running, address) = echo.forward(7000);
        if tool == "bash" {
            // It cannot pass on an end: the answer of this server never comes, a stream of its own does.
        } else {
            assert_eq!(ask(&address, b"half a close"), b"HALF A CLOSE", "{tool}");
            // Each is a process in the container: a hundred of node would be 4 GB.
            everything_at_once(&address, if tool == "perl" { 100 } else { 20 });
        }
        let _idle = TcpStream::connect(&address).unwrap();
        running.signal(Signal::INT);
        running.finish().code(0).says(tool);
        let left = || {
            let all = docker(&["top", &echo.container, "-eo", "pid,args"]);
            all.lines().filter(|line| line.contains(tool) && !line.contains("createServer")).count()
        };
        assert!(
            poll(Duration::from_secs(5), || left() == 0),
            "{tool}: {}",
            docker(&["top", &echo.container])
        );
    }
}

/// Reads everything from there, and looks at every byte.
fn read_all(mut socket: TcpStream) -> usize {
    let mut buffer = vec![0; 1 << 20];
    let expected = vec![120; 1 << 20];
    let mut total = 0;
    loop {
        let len = socket.read(&mut buffer).unwrap();
        if len == 0 {
            return total;
        }
        assert!(buffer[..len] == expected[..len]);
        total += len;
    }
}

#[test]
fn a_slow_reader_slows_the_writer_and_a_gigabyte_arrives() {
    for (address, limit) in [("0.0.0.0", 40 << 20), ("127.0.0.1", 40 << 20)] {
        let echo = Echo::new(address, &["perl"]);
        let (running, address) = echo.forward(7001);
        let socket = TcpStream::connect(&address).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        assert!(running.peak_memory() < limit, "{} bytes while nobody read", running.peak_memory());
        assert_eq!(read_all(socket), BYTES);
        assert!(running.peak_memory() < limit, "{} bytes at the end", running.peak_memory());
        running.signal(Signal::INT);
        running.finish().code(0);
    }
}

#[test]
fn a_stream_passes_where_there_is_only_bash() {
    let echo = Echo::new("127.0.0.1", &["bash"]);
    let (running, address) = echo.forward(7001);
    let mut socket = TcpStream::connect(&address).unwrap();
    let mut some = vec![0; 8 << 20];
    socket.read_exact(&mut some).unwrap();
    assert!(some.iter().all(|byte| *byte == 120));
    drop(socket);
    running.signal(Signal::INT);
    running.finish().code(0).says("bash");
}

#[test]
fn what_cannot_be_forwarded_says_why() {
    let echo = Echo::new("127.0.0.1", &[]);
    echo.project
        .run(&["forward", &echo.service, "0:7000"])
        .code(7)
        .says("nothing to bridge with")
        .says("socat");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    echo.project.run(&["forward", &echo.service, &format!("{port}:7000")]).code(2).says("is in use");
    let echo = Echo::new("0.0.0.0", &["node"]);
    let (running, address) = echo.forward(7000);
    docker(&["kill", &echo.container]);
    running.finish_within(Duration::from_secs(10)).code(3).says(&echo.container);
    assert!(TcpStream::connect(&address).is_err());
}
