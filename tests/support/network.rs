//! A network that a test can cut: the daemon lives in one network namespace, its receivers in
//! another, and a cable (a veth pair) is all there is between them. Neither reaches anything else,
//! so nothing that is dialled there gets farther.
//!
//! The namespaces have no names: each lives as long as the process that holds it, and goes with it.
//! Needs root, `unshare` and `nsenter` (util-linux), and `ip` (iproute2). The daemon's admin socket
//! is a file, and is reached from everywhere.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{SOON, until};

/// A receiver's address in the daemon's own network (RFC 2544).
pub const NEAR: &str = "198.18.7.2";
/// Addresses beyond it, which the guard takes for public ones: of 3ffe::/16, which was given back
/// and is nobody's (RFC 3701).
pub const FAR: [&str; 2] = ["3ffe:7::2", "3ffe:7::3"];

/// Two namespaces and the cable between them.
#[derive(Debug)]
pub struct Network {
    here: Space,
    beyond: Space,
}

impl Network {
    /// Lays the cable and waits until its link is up.
    ///
    /// # Errors
    /// Says what this machine lacks.
    pub fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        let network = Self { here: Space::new()?, beyond: Space::new()? };
        // As on any machine: without loopback, the system's words for having no route are others.
        network.here.ip(&["link", "set", "lo", "up"])?;
        let beyond = network.beyond.holder.id().to_string();
        let (ends, peer) =
            (["link", "add", "up0", "type", "veth"], ["peer", "name", "down0", "netns", &beyond]);
        network.here.ip(&[&ends[..], &peer[..]].concat())?;
        network.beyond.ip(&["address", "add", &format!("{NEAR}/24"), "dev", "down0"])?;
        for far in FAR {
            network.answer(far)?;
        }
        network.beyond.ip(&["link", "set", "down0", "up"])?;
        network.plug()?;
        Ok(network)
    }

    /// What runs a program in the daemon's namespace, see `Home::under`.
    pub fn inside(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net={}", self.here.path())]
    }

    /// The daemon's end goes down, and with it all its routes.
    pub fn unplug(&self) -> Result<(), String> {
        self.here.ip(&["link", "set", "up0", "down"])
    }

    /// The daemon's end comes up, with its addresses; returns when the link is up.
    pub fn plug(&self) -> Result<(), String> {
        self.here.ip(&["link", "set", "up0", "up"])?;
        self.here.ip(&["address", "replace", "198.18.7.1/24", "dev", "up0"])?;
        self.here.ip(&["-6", "address", "replace", "3ffe:7::1/64", "dev", "up0", "nodad"])?;
        until("the link to be up", SOON, || {
            let up = self.here.output(&["-o", "link", "show", "up0"]).ok()?.contains("LOWER_UP");
            let found = [NEAR, FAR[0], FAR[1]]
                .iter()
                .all(|to| self.here.output(&["route", "get", to]).is_ok());
            (up && found).then_some(())
        });
        Ok(())
    }

    /// The daemon's machine gets one more address.
    pub fn own(&self, address: &str) -> Result<(), String> {
        self.here.ip(&["address", "add", address, "dev", "lo"])
    }

    /// The far host answers under its address.
    pub fn answer(&self, far: &str) -> Result<(), String> {
        self.beyond.ip(&["-6", "address", "add", &format!("{far}/64"), "dev", "down0", "nodad"])
    }

    /// The far host falls silent: its address is gone, and the route to it stays.
    pub fn silence(&self, far: &str) -> Result<(), String> {
        self.beyond.ip(&["-6", "address", "del", &format!("{far}/64"), "dev", "down0"])
    }

    /// Listens beyond, on a free port of one of the addresses. It outlives the address.
    pub fn listen(&self, address: &str) -> TcpListener {
        let address: IpAddr = address.parse().expect("an address");
        let space = File::open(self.beyond.path()).expect("the namespace is there");
        // A thread of its own: where a thread is, its sockets are made, and it does not come back.
        let bound = std::thread::spawn(move || {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
            TcpListener::bind((address, 0)).map_err(|error| panic!("{address}: {error}"))
        });
        let bound: rustix::io::Result<TcpListener> = bound.join().expect("it can be bound");
        bound.expect("root may enter a namespace")
    }
}

/// One network namespace.
#[derive(Debug)]
struct Space {
    /// Waits for the end of its input, and so for the end of the test at the latest.
    holder: Child,
}

impl Space {
    fn new() -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo made; exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder =
            command.spawn().map_err(|error| format!("unshare does not start: {error}"))?;
        let mut output = String::new();
        let mut lines = BufReader::new(holder.stdout.take().expect("a pipe"));
        let made = lines.read_line(&mut output).is_ok() && output == "made\n";
        let space = Self { holder };
        made.then_some(space).ok_or_else(|| "network namespaces cannot be made here".to_owned())
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    fn ip(&self, args: &[&str]) -> Result<(), String> {
        self.output(args).map(drop)
    }

    /// What `ip` says inside.
    fn output(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg("ip").args(args).stdin(Stdio::null());
        let output =
            command.output().map_err(|error| format!("nsenter does not start: {error}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!(
                "ip {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
