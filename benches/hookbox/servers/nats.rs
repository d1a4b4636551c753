//! `nats-server` with JetStream, which syncs each message before it acknowledges it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::super::support::{SOON, until};

pub struct NatsServer {
    child: Child,
    pub url: String,
    folder: tempfile::TempDir,
}

/// The program, or why there is none.
fn found() -> Result<PathBuf, String> {
    let named = std::env::var_os("HOOKBOX_NATS_SERVER").map(PathBuf::from);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/nats/bin/nats-server");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("nats-server"));
    let mut all = named.into_iter().chain([ours]).chain(on_path);
    all.find(|path| path.is_file()).ok_or_else(|| {
        "nats-server is not here: run tests/nats/server.sh, or name it in HOOKBOX_NATS_SERVER"
            .into()
    })
}

impl NatsServer {
    pub fn start() -> Result<Self, String> {
        let program = found()?;
        let folder = super::folder();
        let settings = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: {:?}\njetstream {{ store_dir: {:?}, \
             sync_interval: always }}\n",
            folder.path().display(),
            folder.path().join("store").display(),
        );
        let file = folder.path().join("server.conf");
        std::fs::write(&file, settings).expect("our own folder");
        let log = File::create(folder.path().join("server.log")).expect("our own folder");
        let child = Command::new(program)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .map_err(|why| format!("nats-server: {why}"))?;
        let mut server = Self { child, url: String::new(), folder };

        server.url = until("the ports of nats-server", SOON, || {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Some(Err(format!("nats-server ended with {status}")));
            }
            let text = std::fs::read_to_string(ports_file(server.folder.path())?).ok()?;
            let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
            Some(Ok(ports["nats"][0].as_str()?.to_owned()))
        })?;
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

fn ports_file(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    entries.into_iter().find(|path| path.extension().is_some_and(|e| e == "ports"))
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
