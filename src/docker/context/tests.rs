//! Against recorded `~/.docker` folders in `tests/docker-config`.

use proptest::prelude::*;

use super::*;
use crate::docker::context::endpoint::EndpointRequest;
use crate::error::ErrorKind;

fn recorded(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker-config").join(case)
}

fn inputs(case: &str) -> ContextInputs {
    ContextInputs { docker_config: Some(recorded(case)), ..ContextInputs::default() }
}

fn asked(value: &str, by: &str) -> EndpointRequest {
    EndpointRequest { value: value.to_owned(), by: by.to_owned() }
}

const NO_SOCKET: fn(&Path) -> Option<PathBuf> = |_| None;

fn docker_socket(path: &Path) -> Option<PathBuf> {
    (path == Path::new("/var/run/docker.sock")).then(|| path.to_owned())
}

/// Name, host, origin.
fn told(inputs: &ContextInputs) -> (String, String, String) {
    let endpoint = resolve(inputs, &docker_socket).unwrap();
    (endpoint.name, endpoint.host.to_string(), endpoint.origin)
}

fn context(case: &str, name: &str) -> Result<Endpoint> {
    resolve(&ContextInputs { context: Some(asked(name, "--context")), ..inputs(case) }, &NO_SOCKET)
}

#[test]
fn the_strongest_word_holds() {
    let ssh = "ssh://deploy@prod.example:2222";
    let mut inputs = inputs("current");
    let current = format!("currentContext in {}", recorded("current/config.json").display());
    assert_eq!(told(&inputs), ("prod".into(), ssh.into(), current));

    inputs.docker_context = Some("rootless".into());
    let rootless = "unix:///run/user/1000/docker.sock";
    assert_eq!(told(&inputs), ("rootless".into(), rootless.into(), "DOCKER_CONTEXT".into()));

    inputs.docker_host = Some("unix:///run/other.sock".into());
    let origin = "DOCKER_HOST (DOCKER_CONTEXT is ignored)";
    assert_eq!(told(&inputs), ("default".into(), "unix:///run/other.sock".into(), origin.into()));

    inputs.host = Some(asked("tcp://127.0.0.1", "--host"));
    assert_eq!(told(&inputs), ("default".into(), "tcp://127.0.0.1:2375".into(), "--host".into()));

    inputs.host = None;
    inputs.context = Some(asked("prod", "envctl.toml:3"));
    assert_eq!(told(&inputs), ("prod".into(), ssh.into(), "envctl.toml:3".into()));

    inputs.host = Some(asked("tcp://127.0.0.1", "--host"));
    let error = resolve(&inputs, &docker_socket).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().starts_with("conflicting options: envctl.toml:3"), "{error}");
}

#[test]
fn default_named_is_dockers_own_or_what_docker_host_says() {
    let mut inputs = ContextInputs { context: Some(asked("default", "--context")), ..inputs("current") };
    assert_eq!(told(&inputs).1, "unix:///var/run/docker.sock");
    inputs.docker_host = Some("tcp://localhost:99".into());
    let expected = ("default".into(), "tcp://localhost:99".into(), "--context, DOCKER_HOST".into());
    assert_eq!(told(&inputs), expected);
}

#[test]
fn no_word_at_all_looks_for_sockets() {
    let endpoint = resolve(&inputs("plain"), &docker_socket).unwrap();
    assert_eq!(endpoint.origin, "socket found at /var/run/docker.sock");
    assert_eq!(endpoint.detach_keys.as_deref(), Some("ctrl-^,q"));
    let error = resolve(&ContextInputs::default(), &NO_SOCKET).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Docker);
    assert!(error.message().contains("/run/podman/podman.sock"), "{error}");
}

#[test]
fn several_daemons_are_told_and_links_count_once() {
    let inputs =
        ContextInputs { home: Some("/home/ana".into()), uid: Some(1000), ..ContextInputs::default() };
    let sockets = |path: &Path| match path.to_str() {
        // Podman's package links Docker's path to its own socket.
        Some("/var/run/docker.sock" | "/run/podman/podman.sock") => Some("/run/podman/podman.sock".into()),
        Some("/run/user/1000/docker.sock") => Some(path.to_owned()),
        _ => None,
    };
    let endpoint = resolve(&inputs, &sockets).unwrap();
    assert_eq!(endpoint.host.to_string(), "unix:///var/run/docker.sock");
    let expected =
        "socket found at /var/run/docker.sock, the first of several (also there: /run/user/1000/docker.sock)";
    assert_eq!(endpoint.origin, expected);
}

#[test]
fn each_usual_socket_is_found_alone() {
    let inputs = ContextInputs {
        home: Some("/home/ana".into()),
        runtime_dir: Some("/run/user/7".into()),
        ..ContextInputs::default()
    };
    for place in [
        "/run/user/7/docker.sock",
        "/home/ana/.docker/run/docker.sock",
        "/home/ana/.docker/desktop/docker.sock",
        "/home/ana/.orbstack/run/docker.sock",
        "/home/ana/.colima/default/docker.sock",
        "/home/ana/.rd/docker.sock",
        "/run/user/7/podman/podman.sock",
        "/run/podman/podman.sock",
    ] {
        let only = |path: &Path| (path == Path::new(place)).then(|| path.to_owned());
        assert_eq!(resolve(&inputs, &only).unwrap().host, Host::Unix(place.into()));
    }
}

#[cfg(unix)]
#[test]
fn only_a_socket_is_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, link, plain) = (folder.path().join("s"), folder.path().join("l"), folder.path().join("p"));
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::symlink(&socket, &link).unwrap();
    std::fs::create_dir(&plain).unwrap();
    assert_eq!(socket_at(&link), socket_at(&socket));
    assert!(socket_at(&socket).is_some());
    assert_eq!((socket_at(&plain), socket_at(&folder.path().join("none"))), (None, None));
}

#[test]
fn contexts_bring_their_own_tls() {
    let file = |name: &str, pem: &str| {
        Some(recorded("tls/contexts/tls").join(store::context_id(name)).join("docker").join(pem))
    };
    let tls = |name: &str| context("tls", name).unwrap().tls;
    let secure = context("tls", "secure").unwrap();
    assert_eq!(secure.host.to_string(), "tcp://build.example:2376");
    let all = TlsFiles {
        ca: file("secure", "ca.pem"),
        cert: file("secure", "cert.pem"),
        key: file("secure", "key.pem"),
        skip_verify: false,
    };
    assert_eq!(secure.tls, Some(all));
    assert!(!secure.insecure());
    let server_only = TlsFiles { ca: file("server-only", "ca.pem"), ..TlsFiles::default() };
    assert_eq!(tls("server-only"), Some(server_only));
    assert_eq!(tls("unverified"), Some(TlsFiles { skip_verify: true, ..TlsFiles::default() }));
    let plain = context("tls", "plain-tcp").unwrap();
    assert_eq!((plain.host.to_string().as_str(), &plain.tls), ("tcp://build.example:2375", &None));
    assert!(plain.insecure());
    assert!(context("tls", "half").unwrap_err().message().contains("key.pem does not exist"));
}

#[test]
fn variables_bring_tls_to_a_host() {
    let certs = recorded("tls/certs");
    let mut inputs = ContextInputs {
        docker_host: Some("tcp://build.example".into()),
        tls_verify: true,
        cert_path: Some(certs.clone()),
        ..ContextInputs::default()
    };
    let endpoint = resolve(&inputs, &NO_SOCKET).unwrap();
    assert_eq!(endpoint.host.to_string(), "tcp://build.example:2376");
    let files = endpoint.tls.unwrap();
    assert_eq!((files.ca, files.skip_verify), (Some(certs.join("ca.pem")), false));

    inputs.tls_verify = false;
    inputs.tls = true;
    assert!(resolve(&inputs, &NO_SOCKET).unwrap().tls.unwrap().skip_verify);

    inputs.tls = false;
    assert!(resolve(&inputs, &NO_SOCKET).unwrap().insecure());

    inputs.tls_verify = true;
    inputs.cert_path = Some(recorded("plain"));
    let error = resolve(&inputs, &NO_SOCKET).unwrap_err();
    assert!(error.message().contains("plain/ca.pem does not exist"), "{error}");

    inputs.docker_host = Some("unix:///run/docker.sock".into());
    assert_eq!(resolve(&inputs, &NO_SOCKET).unwrap().tls, None);
}

#[test]
fn variables_count_when_they_are_not_empty() {
    let read = |tls_verify: &'static str| {
        ContextInputs::from_environment(move |name| match name {
            "DOCKER_TLS_VERIFY" => Some(tls_verify.to_owned()),
            "DOCKER_HOST" => Some("  ".to_owned()),
            "DOCKER_CONFIG" => Some("/etc/docker-cli".to_owned()),
            _ => None,
        })
    };
    assert!(!read("").tls_verify);
    assert!(read("0").tls_verify);
    assert_eq!((read("").docker_host, read("").config_dir()), (None, Some("/etc/docker-cli".into())));
}

#[test]
fn what_is_missing_or_broken_is_an_error_that_names_it() {
    let message = |case: &str| {
        let error = resolve(&inputs(case), &docker_socket).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Docker, "{case}");
        error.full_message()
    };
    let missing = message("missing");
    assert!(missing.contains("`gone` does not exist; known contexts: `default`, `here`"), "{missing}");
    assert!(missing.starts_with("currentContext in "), "{missing}");
    assert!(message("broken-config").contains("broken-config/config.json is not what docker writes"));
    assert!(message("broken-meta").contains("meta.json is not what docker writes"));
    assert!(context("odd", "kubernetes-only").unwrap_err().message().contains("has no docker endpoint"));
    let named = ContextInputs { docker_context: Some("../../etc".into()), ..inputs("current") };
    assert!(resolve(&named, &docker_socket).unwrap_err().message().starts_with("DOCKER_CONTEXT names"));
}

#[test]
fn a_broken_file_does_not_matter_where_it_decides_nothing() {
    let inputs = ContextInputs { docker_host: Some("unix:///run/x.sock".into()), ..inputs("broken-config") };
    assert_eq!(told(&inputs).1, "unix:///run/x.sock");
    assert_eq!(context("broken-config", "prod").unwrap().host, Host::Unix("/run/prod.sock".into()));
}

#[test]
fn names_and_hosts_of_all_kinds() {
    let unicode = resolve(&inputs("unicode"), &NO_SOCKET).unwrap();
    assert_eq!(unicode.to_string(), "прод (unix:///run/прод.sock)");
    assert_eq!(context("odd", "empty-host").unwrap().host, Host::Unix("/var/run/docker.sock".into()));
    let elsewhere = context("current", "socket-elsewhere").unwrap().host;
    let path = Some("/run/user/1000/docker.sock".to_owned());
    let expected = Host::Ssh { user: Some("deploy".into()), host: "prod.example".into(), port: None, path };
    assert_eq!(elsewhere, expected);
}

#[test]
fn hosts_are_read_as_docker_reads_them() {
    for (url, shown) in [
        ("", "unix:///var/run/docker.sock"),
        ("unix://", "unix:///var/run/docker.sock"),
        ("unix:///a b.sock", "unix:///a b.sock"),
        ("tcp://", "tcp://localhost:2375"),
        ("tcp://h", "tcp://h:2375"),
        ("tcp://h/", "tcp://h:2375"),
        ("h:1234", "tcp://h:1234"),
        (":1234", "tcp://localhost:1234"),
        ("http://h:80", "tcp://h:80"),
        ("https://h", "tcp://h:2376"),
        ("tcp://[::1]:7", "tcp://[::1]:7"),
        ("tcp://[fe80::1]", "tcp://[fe80::1]:2375"),
        ("npipe:////./pipe/docker_engine", "npipe:////./pipe/docker_engine"),
        (r"npipe://\\.\pipe\docker_engine", "npipe:////./pipe/docker_engine"),
        ("ssh://h", "ssh://h"),
        ("ssh://h/", "ssh://h"),
        ("ssh://me@[::1]:22/run/x.sock", "ssh://me@[::1]:22/run/x.sock"),
    ] {
        let inputs = ContextInputs { host: Some(asked(url, "--host")), ..ContextInputs::default() };
        assert_eq!(resolve(&inputs, &NO_SOCKET).unwrap().host.to_string(), shown, "{url}");
    }
    let https = ContextInputs { host: Some(asked("https://h", "--host")), ..ContextInputs::default() };
    assert_eq!(resolve(&https, &NO_SOCKET).unwrap().tls, Some(TlsFiles::default()));
}

#[test]
fn hosts_that_are_refused_are_not_repeated() {
    for url in [
        "ssh://deploy:hunter2@h",
        "ssh://deploy:hun/ter2@h",
        "ssh://a@hunter2@h",
        "tcp://deploy:hunter2@h:2375",
        "http://hunter2@h",
        "deploy:hunter2@h",
        "hunter2:secret://h",
        "tcp://h:hunter2",
        "ssh://-ohunter2",
        "ssh://-lhunter2@h",
        "ssh://@hunter2",
        "ssh://",
        "ssh:///hunter2",
        "fd://hunter2",
        "ftp://hunter2",
        "/hunter2.sock",
        "tcp://h:0",
        "tcp://h:65536",
        "tcp://[::1",
        "tcp://[::1]x",
        "tcp://hunter2 h",
        "tcp://h/hunter2",
    ] {
        let inputs = ContextInputs { docker_host: Some(url.to_owned()), ..ContextInputs::default() };
        let error = resolve(&inputs, &NO_SOCKET).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{url}");
        assert!(!format!("{error:?}").contains("hunter2"), "{url}: {error:?}");
    }
    let error = context("odd", "password").unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn plain_tcp_is_insecure_unless_it_stays_here() {
    for (url, insecure) in [
        ("tcp://10.0.0.1:2375", true),
        ("tcp://example:2375", true),
        ("tcp://localhost.example:2375", true),
        ("tcp://127.0.0.9:2375", false),
        ("tcp://[::1]:2375", false),
        ("tcp://LOCALHOST:2375", false),
        ("https://example", false),
        ("ssh://example", false),
        ("unix:///x", false),
    ] {
        let inputs = ContextInputs { host: Some(asked(url, "--host")), ..ContextInputs::default() };
        assert_eq!(resolve(&inputs, &NO_SOCKET).unwrap().insecure(), insecure, "{url}");
    }
}

proptest! {
    #[test]
    fn a_host_is_read_back_as_it_is_shown(url in "(tcp|http|ssh|unix|npipe)://[a-z0-9@:/.\\[\\]-]{0,24}|.{0,24}") {
        if let Ok(address) = Address::parse(&url) {
            let host = address.host_with_port(false);
            let again = Address::parse(&host.to_string()).map(|address| address.host_with_port(false));
            prop_assert_eq!(again, Ok(host));
        }
    }
}
