//! The real `nats-server`, in a folder of its own, behind a proxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::proxy::Proxy;
use crate::support::{SOON, until};

/// A server that can be killed and started again over the same store.
pub struct NatsServer {
    program: PathBuf,
    /// What runs in front of it, as `strace` does.
    before: Vec<String>,
    dir: tempfile::TempDir,
    /// Further lines of its configuration.
    more: String,
    child: Option<Child>,
    pub proxy: Proxy,
    pub monitoring: String,
}

/// The program, or why there is none.
fn found() -> Result<PathBuf, String> {
    let named = std::env::var_os("HOOKBOX_NATS_SERVER").map(PathBuf::from);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/nats/bin/nats-server");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("nats-server"));
    let mut all = named.into_iter().chain([ours]).chain(on_path);
    all.find(|path| path.is_file()).ok_or_else(|| {
        "nats-server is not here: run tests/nats/run.sh, or name it in HOOKBOX_NATS_SERVER".into()
    })
}

impl NatsServer {
    /// A server, or `None` where there is none: that is printed.
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// The same, with more lines of its configuration.
    pub fn start_with(more: &str) -> Option<Self> {
        Self::start_behind(&[], more)
    }

    /// The same, with a command in front of it that becomes it.
    pub fn start_behind(before: &[&str], more: &str) -> Option<Self> {
        let program = match found() {
            Ok(program) => program,
            Err(why) => {
                let is_required = std::env::var_os("HOOKBOX_NATS_REQUIRED").is_some();
                assert!(!is_required, "{why}");
                println!("skipped: {why}");
                return None;
            }
        };

        let dir = tempfile::Builder::new().prefix("hookbox-nats-").tempdir();
        let mut server = Self {
            program,
            before: before.iter().map(|&word| word.to_owned()).collect(),
            dir: dir.expect("a temporary folder"),
            more: more.to_owned(),
            child: None,
            proxy: Proxy::new(),
            monitoring: String::new(),
        };
        server.restart();
        Some(server)
    }

    /// A file in its folder; gives its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    }

    pub fn url(&self) -> String {
        self.proxy.url()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// SIGKILL, as a crash; what the system has of its writes stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it, killed or not, over the same store.
    pub fn restart(&mut self) {
        self.kill();
        let folder = self.dir.path().to_owned();
        for old in ports_files(&folder) {
            let _ = std::fs::remove_file(old);
        }
        let settings = format!(
            "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\nports_file_dir: {:?}\n\
             jetstream {{ store_dir: {:?}, sync_interval: always }}\n{}\n",
            folder.display(),
            folder.join("store").display(),
            self.more
        );
        let file = self.write("server.conf", &settings);
        let log = std::fs::File::create(folder.join("server.log")).expect("a file");
        let words = self.before.iter().map(PathBuf::from).chain([self.program.clone()]);
        let words: Vec<PathBuf> = words.collect();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .args(["-c", &file])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("nats-server starts"));

        let ports = until("the server's ports", SOON, || {
            let text = std::fs::read_to_string(ports_files(&folder).first()?).ok()?;
            serde_json::from_str::<serde_json::Value>(&text).ok()
        });
        let at = |kind: &str| ports[kind][0].as_str().expect("a port").to_owned();
        let nats = at(if ports["nats"].is_array() { "nats" } else { "tls" });
        let addr = nats.rsplit_once('/').expect("a URL").1.parse::<SocketAddr>();
        self.proxy.set_upstream(addr.expect("an address"));
        self.monitoring = at("monitoring");
    }
}

fn ports_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("its folder").flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|e| e == "ports")).collect()
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("server.log"));
            let log = log.unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(20);
            eprintln!("--- the server's last lines ---\n{}", lines[from..].join("\n"));
        }
        self.kill();
    }
}
