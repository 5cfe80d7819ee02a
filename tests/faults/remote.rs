//! A daemon behind TLS and behind ssh: reached for real, and every way of not being reached (reliability F92).
//!
//! TLS ends in this process, in front of the machine's own socket; `ssh` is a script that joins its streams to
//! that socket, as `docker system dial-stdio` does at the other end.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::support::{Finished, Project, Running, Server};

const SOCKET: &str = "/var/run/docker.sock";

/// A key pair of its own that vouches for itself, as the files of a Docker certificate path.
fn identity(folder: &Path) -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let (cert, key) = (cert.pem(), signing_key.serialize_pem());
    fs::create_dir_all(folder).unwrap();
    for (name, text) in [("ca.pem", &cert), ("cert.pem", &cert), ("key.pem", &key)] {
        fs::write(folder.join(name), text).unwrap();
    }
    (cert, key)
}

/// A TLS server before the socket that takes this identity's clients and no others.
fn daemon_behind_tls(cert: &str, key: &str) -> SocketAddr {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(cert.as_bytes()).collect::<Result<_, _>>().expect("a chain");
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            loop {
                let Ok((socket, _)) = listener.accept().await else { return };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(socket).await else { return };
                    let Ok(mut engine) = tokio::net::UnixStream::connect(SOCKET).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
                });
            }
        });
    });
    address
}

fn by_tls(project: &Project, address: SocketAddr, certificates: &Path, args: &[&str]) -> Finished {
    let mut command = project.command(args);
    command
        .env("DOCKER_HOST", format!("tcp://{address}"))
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", certificates);
    Running::start(command, None).finish()
}

#[test]
fn f92_a_daemon_behind_tls_is_reached_and_a_wrong_certificate_is_one_message() {
    let project = Project::new(Server::shared(15), "tls");
    project.fill(5_000);
    let own = project.path().join("certificates");
    let (cert, key) = identity(&own);
    let address = daemon_behind_tls(&cert, &key);
    // Frames, half-close and the proof over TLS: the same backup and restore as ever.
    let digest = project.digest();
    by_tls(&project, address, &own, &["backup"]).code(0);
    by_tls(&project, address, &own, &["restore", "latest", "--yes", "--no-backup"]).code(0);
    assert_eq!(project.digest(), digest);
    project.drop_siblings();

    let other = project.path().join("others");
    identity(&other);
    let refused = by_tls(&project, address, &other, &["status"]).code(4);
    assert!(refused.err().contains("TLS with"), "{}", refused.err());
    // The right daemon, and a client that it does not know.
    fs::copy(own.join("ca.pem"), other.join("ca.pem")).unwrap();
    by_tls(&project, address, &other, &["status"]).code(4);
    fs::write(other.join("key.pem"), "not a key").unwrap();
    by_tls(&project, address, &other, &["status"]).code(4).says("key.pem cannot be used");
    fs::remove_file(other.join("ca.pem")).unwrap();
    by_tls(&project, address, &other, &["status"]).code(4);
}

#[test]
fn f92_a_daemon_that_hangs_or_speaks_no_tls_ends_within_the_timeout() {
    let project = Project::new(Server::shared(15), "tls_dead");
    let own = project.path().join("certificates");
    identity(&own);
    // It takes the connection and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    let address = silent.local_addr().unwrap();
    let ended = by_tls(&project, address, &own, &["status", "--timeout", "1s"]);
    assert!(matches!(ended.code, 4 | 124), "{} {}", ended.code, ended.err());
    assert!(begun.elapsed() < Duration::from_secs(10));
    drop(silent);
    let ended = by_tls(&project, address, &own, &["status"]).code(4);
    assert!(ended.err().contains(&address.to_string()), "{}", ended.err());
}

/// An `ssh` that is this script, first in PATH.
fn by_ssh(project: &Project, script: &str, args: &[&str]) -> Finished {
    use std::os::unix::fs::PermissionsExt as _;
    let bin = project.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let ssh = bin.join("ssh");
    fs::write(&ssh, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = project.command(args);
    command.env("DOCKER_HOST", "ssh://deploy@far.example").env("PATH", format!("{}:{path}", bin.display()));
    Running::start(command, None).finish()
}

/// Both directions, each end passed on by itself.
const DIAL: &str = r#"exec perl -MIO::Socket::UNIX -e '
my $s = IO::Socket::UNIX->new(Peer => "/var/run/docker.sock") or die "$!\n";
my ($in, $there) = (1, 1);
sub out { my ($to, $d) = @_; while (length $d) { my $n = syswrite($to, $d) // exit 1; substr($d, 0, $n) = ""; } }
while ($there) {
  my $set = ""; vec($set, 0, 1) = 1 if $in; vec($set, fileno($s), 1) = 1;
  select(my $ready = $set, undef, undef, undef);
  if ($in && vec($ready, 0, 1)) { if (sysread(STDIN, my $d, 65536)) { out($s, $d) } else { $in = 0; shutdown($s, 1) } }
  if (vec($ready, fileno($s), 1)) { if (sysread($s, my $d, 65536)) { out(*STDOUT, $d) } else { $there = 0 } }
}'"#;

#[test]
fn f92_a_daemon_behind_ssh_is_reached_and_a_host_that_is_down_is_one_message() {
    let project = Project::new(Server::shared(15), "ssh");
    project.fill(5_000);
    let digest = project.digest();
    by_ssh(&project, DIAL, &["backup"]).code(0);
    by_ssh(&project, DIAL, &["restore", "latest", "--yes", "--no-backup"]).code(0);
    assert_eq!(project.digest(), digest);
    project.drop_siblings();
    for words in
        ["ssh: connect to host far.example port 22: Connection refused", "Host key verification failed."]
    {
        let script = format!("echo '{words}' >&2; exit 255");
        let ended = by_ssh(&project, &script, &["status"]).code(4);
        assert!(ended.err().contains(words) && ended.err().contains("error"), "{}", ended.err());
    }
    let begun = Instant::now();
    let ended = by_ssh(&project, "exec sleep 600", &["status", "--timeout", "1s"]);
    assert!(matches!(ended.code, 4 | 124), "{} {}", ended.code, ended.err());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn sessions_of_ssh_are_few_and_its_talk_stays_off_the_terminal() {
    let project = Project::new(Server::shared(15), "mux");
    let live = project.path().join("live");
    fs::create_dir(&live).unwrap();
    let script = format!(
        "cd '{}'; : >$$; n=0; for p in [0-9]*; do [ -e /proc/$p/exe ] && n=$((n + 1)); done; echo $n >>counts\n\
         echo 'mux_client_request_session: session request failed: Session open refused by peer' >&2\n{DIAL}",
        live.display()
    );
    let ended = by_ssh(&project, &script, &["status", "-s", &project.server.stack]).code(0);
    assert!(!ended.err().contains("mux_client"), "{}", ended.err());
    // Without a directory or a stack that is named, everything on the daemon is looked at side by side.
    by_ssh(&project, &script, &["status", "--all-stacks"]).code(0);
    let counts = fs::read_to_string(live.join("counts")).unwrap();
    let counts: Vec<usize> = counts.lines().map(|line| line.parse().unwrap()).collect();
    assert!(counts.len() > 8, "{counts:?}");
    assert!(counts.iter().all(|open| *open <= 8), "{counts:?}");
    assert_eq!(counts[0], 1, "the first session is established before others begin: {counts:?}");
}
