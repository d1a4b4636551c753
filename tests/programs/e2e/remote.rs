//! The ways to other machines that `hookboxctl` takes by itself: a real sshd for `--socket ssh://`,
//! and TLS for `listen --forward https://`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::support::ctl::{built, finish, program};
use super::support::{Done, Home, NobodysPort, SOON};
use super::{open_source, text};

/// An sshd for each connection to a port of loopback, with keys of its own.
struct Sshd {
    port: u16,
    /// The folder of a program `ssh` that knows its host key and has a key that it takes.
    bin: String,
}

impl Sshd {
    /// The reason where it cannot be had.
    fn start(home: &Home) -> Result<Self, String> {
        let places = ["/usr/sbin/sshd", "/usr/lib/ssh/sshd", "/usr/libexec/sshd"];
        let sshd = places.into_iter().find(|path| Path::new(path).exists());
        let sshd = sshd.ok_or("there is no sshd (Debian's package openssh-server has it)")?;
        let at = |name: &str| home.path().join(name).display().to_string();
        for key in ["host_key", "user_key"] {
            let mut made = Command::new("ssh-keygen");
            made.args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]);
            let made = made.status().map_err(|error| format!("no ssh-keygen: {error}"))?;
            assert!(made.success(), "{made}");
        }
        // As root it wants the folder that its service would have made.
        if rustix::process::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").map_err(|error| error.to_string())?;
        }

        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n",
            at("host_key"),
            at("user_key.pub"),
        );
        let config = home.write("sshd_config", &config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut one = Command::new(sshd);
                one.args(["-i", "-f", &config]).stderr(Stdio::null());
                one.stdout(OwnedFd::from(stream.try_clone().expect("a descriptor")));
                one.stdin(OwnedFd::from(stream));
                let mut one = one.spawn().expect("sshd starts");
                std::thread::spawn(move || one.wait());
            }
        });

        let host_key = std::fs::read_to_string(at("host_key.pub")).expect("it was made");
        home.write("known_hosts", &format!("[127.0.0.1]:{port} {host_key}"));
        let config = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\n\
             GlobalKnownHostsFile none\nStrictHostKeyChecking yes\nBatchMode yes\n",
            at("user_key"),
            at("known_hosts"),
        );
        let config = home.write("ssh_config", &config);
        // The system's own, with these keys in the place of the user's.
        let script = format!("#!/bin/sh\nexec /usr/bin/ssh -F '{config}' \"$@\"\n");
        home.program(&home.write("ssh.sh", &script), "bin/ssh");
        Ok(Self { port, bin: at("bin") })
    }

    /// Runs hookboxctl against the socket that it leads to.
    fn ctl(&self, home: &Home, socket: &str, args: &[&str]) -> Done {
        self.ctl_at(home, &format!("127.0.0.1:{}{socket}", self.port), args)
    }

    fn ctl_at(&self, home: &Home, place: &str, args: &[&str]) -> Done {
        let mut command = program(&built("hookboxctl"));
        command.arg("--socket").arg(format!("ssh://{place}")).args(args);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.bin));
        command.env("XDG_RUNTIME_DIR", home.path()).stdin(Stdio::null());
        finish(command, None)
    }
}

#[test]
#[ignore = "needs sshd; run: just with-tools"]
fn a_real_sshd_leads_to_the_socket_of_its_machine() {
    let home = Home::new();
    let sshd = Sshd::start(&home).expect("an sshd of its own");
    let daemon = home.start();
    open_source(&daemon, "in");
    let id = daemon.accept("/in/in", &[], b"one");
    let socket = daemon.ctl().socket.display().to_string();

    // Whoever ssh logs in has the rights of that account over there: it is the daemon's own here.
    let shown = sshd.ctl(&home, &socket, &["--json", "event", "list"]).expect(0);
    assert!(shown.stdout.contains(&id), "{}", shown.stdout);
    sshd.ctl(&home, &socket, &["endpoint", "create", "jobs", "--url", "pull:"]).expect(0);
    assert_eq!(daemon.lines(&["endpoint", "list"]).len(), 1);
    let status = sshd.ctl(&home, &socket, &["status", "--check"]).expect(0);
    assert!(status.stdout.starts_with("OK: "), "{}", status.stdout);

    // What comes in over there is shown here.
    daemon.accept("/in/in", &[], b"two");
    let args = ["--json", "listen", "--name", "jobs", "--max", "1"];
    let listened = sshd.ctl(&home, &socket, &args).expect(0);
    assert!(listened.stdout.contains("\"size\":3"), "{}", listened.stdout);

    // A socket that is not there, and nobody behind the port, say so and end with 69.
    let nothing = sshd.ctl(&home, "/nowhere/admin.sock", &["status"]).expect(69);
    assert!(
        nothing.stderr.contains("no daemon answers at /nowhere/admin.sock"),
        "{}",
        nothing.stderr
    );
    let nobody = NobodysPort::new();
    let place = nobody.url().replace("http://", "").trim_end_matches('/').to_owned() + &socket;
    let refused = sshd.ctl_at(&home, &place, &["status"]).expect(69);
    assert!(refused.stderr.contains("cannot reach "), "{}", refused.stderr);

    let left = std::fs::read_dir(home.path()).expect("readable").filter_map(Result::ok);
    let left: Vec<String> = left.map(|entry| entry.file_name().to_string_lossy().into()).collect();
    assert!(!left.iter().any(|name| name.starts_with("hookboxctl-")), "{left:?}");
}

/// An application behind TLS on loopback. Hands on the head of each request that it answers.
fn application(authority: &CertifiedIssuer<'static, KeyPair>) -> (u16, mpsc::Receiver<String>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate and its key");
    let config = Arc::new(config);

    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let (seen, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = StreamOwned::new(connection, stream);
            let mut request = Vec::new();
            let mut part = [0; 4096];
            while !request.ends_with(b"{\"n\":1}") {
                match stream.read(&mut part) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&part[..read]),
                }
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            if stream.write_all(answer).and_then(|()| stream.flush()).is_ok() {
                let _ = seen.send(String::from_utf8_lossy(&request).into_owned());
            }
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (port, requests)
}

#[test]
fn events_are_forwarded_to_an_application_behind_tls_with_its_query() {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let (port, requests) = application(&authority);
    let home = Home::new();
    let roots = home.write("rootCA.pem", &authority.pem());
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.done(&["endpoint", "create", "jobs", "--url", "pull:", "--retry-base", "50ms"]);
    daemon.accept("/in/in", &[("content-type", "application/json")], b"{\"n\":1}");

    let forward = |url: String, known: bool| {
        let mut command = program(&built("hookboxctl"));
        command.arg("--socket").arg(&daemon.ctl().socket);
        command.args(["--json", "listen", "--name", "jobs", "--max", "1", "--forward", &url]);
        if known {
            command.env("SSL_CERT_FILE", &roots);
        }
        finish(command, None)
    };
    let url = format!("https://localhost:{port}/hook?tenant=a%20b&x=1");
    let forwarded = forward(url, true).expect(0);
    assert!(forwarded.stdout.contains("\"status\":200"), "{}", forwarded.stdout);
    let seen = requests.recv_timeout(SOON).expect("a request");
    assert!(seen.starts_with("POST /hook?tenant=a%20b&x=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.to_lowercase().contains(&format!("\r\nhost: localhost:{port}\r\n")), "{seen}");
    assert!(seen.contains("webhook-signature: v1,") && seen.ends_with("{\"n\":1}"), "{seen}");

    // One whose authority is not known gets nothing, nor does another name than its own.
    daemon.accept("/in/in", &[("content-type", "application/json")], b"{\"n\":2}");
    for (url, known) in [
        (format!("https://localhost:{port}/"), false),
        (format!("https://127.0.0.1:{port}/"), true),
    ] {
        let refused = forward(url.clone(), known);
        let said = refused.stdout + &refused.stderr;
        assert!(said.contains("certificate"), "{url}: {said}");
    }
    assert!(requests.try_recv().is_err());
    let waiting = daemon.json(&["endpoint", "show", "jobs"]);
    assert_eq!((text(&waiting, "state"), &waiting["waiting"]), ("active", &1.into()), "{waiting}");
}
