//! Named lists of networks, for `--allow @github`.
//!
//! A list is one that came with the program (the ranges that a provider has published), or a file
//! `NAME` or `NAME.txt` in the folder of the configuration's `allow_lists.dir`, one network or
//! address a line, `#` begins a comment. A file takes the place of the list of its name that came
//! with the program, so that a range which changed needs no new version. The folder is read at the
//! start and on SIGHUP, whole or not at all.
//!
//! Limits: `limits::ALLOW_LISTS` files of `limits::ALLOW_LIST_BYTES`. A source that names a list
//! which is gone refuses whoever may be in it, for the time being.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;

use crate::model::{Source, limits, parse_network};

/// The lists that come with the program, as the providers publish them.
const BUILT_IN: &[(&str, &str)] = &[
    // https://api.github.com/meta, `hooks`
    (
        "github",
        "192.30.252.0/22 185.199.108.0/22 140.82.112.0/20 143.55.64.0/20 2a0a:a440::/29 \
         2606:50c0::/32",
    ),
    // https://stripe.com/files/ips/ips_webhooks.txt
    (
        "stripe",
        "3.18.12.63 3.69.109.8 3.120.168.93 3.130.192.231 13.235.14.237 13.235.122.149 \
         18.211.135.69 35.154.171.200 35.157.207.129 52.15.183.38 54.88.130.119 54.88.130.237 \
         54.187.174.169 54.187.205.235 54.187.216.72",
    ),
    // docs.travis-ci.com, "IP addresses"
    ("travis", "54.173.229.200 54.175.230.252"),
    // developer.paddle.com, "Respond to webhooks"
    ("paddle", "34.232.58.13 34.195.105.136 34.237.3.244 35.155.119.135 52.11.166.252 34.212.5.7"),
    (
        "paddle-sandbox",
        "34.194.127.46 54.234.237.108 3.208.120.145 44.226.236.210 44.241.183.62 100.20.172.113",
    ),
];

type Lists = BTreeMap<String, Vec<IpNet>>;

/// All named lists.
#[derive(Debug)]
pub struct AllowLists {
    lists: RwLock<Arc<Lists>>,
}

/// Lists that were read and are not in force.
#[derive(Debug)]
pub struct ReadLists(Lists);

impl ReadLists {
    /// A list that the source names and that is not among these.
    #[must_use]
    pub fn missing<'a>(&self, source: &'a Source) -> Option<&'a str> {
        missing(&self.0, source)
    }
}

impl Default for AllowLists {
    fn default() -> Self {
        Self { lists: RwLock::new(Arc::new(built_in())) }
    }
}

impl AllowLists {
    /// Reads the folder, without putting it into force.
    ///
    /// # Errors
    /// The first thing that is wrong: file, line and how to fix it.
    pub fn read(dir: Option<&Path>) -> Result<ReadLists, String> {
        let mut lists = built_in();
        if let Some(dir) = dir {
            read_folder(dir, &mut lists)?;
        }
        Ok(ReadLists(lists))
    }

    /// Replaces the lists in force.
    pub fn set(&self, read: ReadLists) {
        *self.lists.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read.0);
    }

    /// Whether all lists exist that the source names.
    ///
    /// # Errors
    /// Which one does not exist, and which do.
    pub fn check(&self, source: &Source) -> Result<(), String> {
        let lists = self.current();
        match missing(&lists, source) {
            None => Ok(()),
            Some(name) => Err(format!(
                "there is no allow-list @{name}; there are {}, and more come as files in \
                 allow_lists.dir",
                lists.keys().map(|name| format!("@{name}")).collect::<Vec<_>>().join(", ")
            )),
        }
    }

    /// Whether an address may post to the source. A source that names addresses admits no client of
    /// a Unix socket (`None`).
    pub(super) fn allows(&self, source: &Source, ip: Option<IpAddr>) -> bool {
        if source.allow.is_empty() && source.allow_lists.is_empty() {
            return true;
        }

        let Some(ip) = ip else { return false };
        if source.allow.iter().any(|net| net.contains(&ip)) {
            return true;
        }

        let lists = self.current();
        source
            .allow_lists
            .iter()
            .filter_map(|name| lists.get(name))
            .flatten()
            .any(|net| net.contains(&ip))
    }

    fn current(&self) -> Arc<Lists> {
        self.lists.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A list that the source names and that there is not.
fn missing<'a>(lists: &Lists, source: &'a Source) -> Option<&'a str> {
    let missing = source.allow_lists.iter().find(|name| !lists.contains_key(*name));
    missing.map(String::as_str)
}

fn built_in() -> Lists {
    let nets = |text: &str| text.split_whitespace().filter_map(|word| network(word).ok()).collect();
    BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), nets(text))).collect()
}

/// `192.0.2.0/24`, `2001:db8::/32`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    parse_network(text).ok_or_else(|| {
        format!(
            "'{}' is not a network: write it as 192.0.2.0/24",
            text.chars().take(80).collect::<String>()
        )
    })
}

fn read_folder(dir: &Path, lists: &mut Lists) -> Result<(), String> {
    let entries = std::fs::read_dir(dir)
        .map_err(|error| format!("allow_lists.dir: {}", cannot_read(dir, &error)))?;
    let mut count = 0;
    for entry in entries {
        let entry = entry.map_err(|error| format!("allow_lists.dir: {}", cannot_read(dir, &error)));
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.strip_suffix(".txt").unwrap_or(name);
        // Folders, hidden files and an editor's copies are not lists.
        if !path.is_file() || !crate::model::valid_name(name) {
            continue;
        }

        count += 1;
        if count > limits::ALLOW_LISTS {
            let (dir, limit) = (dir.display(), limits::ALLOW_LISTS);
            return Err(format!("allow_lists.dir: {dir} holds more than {limit} lists"));
        }
        lists.insert(name.to_owned(), read_list(&path)?);
    }
    Ok(())
}

fn read_list(path: &Path) -> Result<Vec<IpNet>, String> {
    let size = std::fs::metadata(path).map_err(|error| cannot_read(path, &error))?.len();
    if size > limits::ALLOW_LIST_BYTES {
        let limit = limits::ALLOW_LIST_BYTES;
        return Err(format!("{} has {size} bytes, at most {limit} are read", path.display()));
    }

    let text = std::fs::read_to_string(path).map_err(|error| cannot_read(path, &error))?;
    networks(&text).map_err(|why| format!("{}:{why}", path.display()))
}

fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let mut nets = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            nets.push(network(line).map_err(|why| format!("{}: {why}", number + 1))?);
        }
    }
    Ok(nets)
}

#[cfg(test)]
mod tests {
    use super::{AllowLists, BUILT_IN, built_in};
    use crate::model::Source;

    #[test]
    fn all_that_comes_with_the_program_is_read() {
        let written: usize = BUILT_IN.iter().map(|(_, text)| text.split_whitespace().count()).sum();
        assert_eq!(built_in().values().map(Vec::len).sum::<usize>(), written);
    }

    #[test]
    fn a_list_adds_to_the_networks_and_a_file_takes_its_place() {
        let lists = AllowLists::default();
        let mut source = Source::new("a", "none");
        let allows =
            |source: &Source, ip: &str| lists.allows(source, Some(ip.parse().expect("an address")));
        assert!(allows(&source, "192.0.2.1") && lists.allows(&source, None));
        source.allow_lists = vec!["github".into()];
        source.allow = vec!["192.0.2.0/24".parse().expect("a net")];
        assert!(
            allows(&source, "140.82.115.7")
                && allows(&source, "2606:50c0::1")
                && allows(&source, "192.0.2.1")
        );
        assert!(!allows(&source, "192.0.3.1") && !lists.allows(&source, None));

        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(
            dir.path().join("github.txt"),
            "# ours\n198.51.100.0/24 # a net\n\n203.0.113.9\n",
        )
        .expect("written");
        std::fs::write(dir.path().join("mine"), "10.0.0.0/8").expect("written");
        lists.set(AllowLists::read(Some(dir.path())).expect("good lists"));
        assert!(
            allows(&source, "198.51.100.1")
                && allows(&source, "203.0.113.9")
                && !allows(&source, "140.82.115.7")
        );
        source.allow_lists.push("yours".into());
        assert!(lists.check(&source).expect_err("no such list").contains("@mine"));
        std::fs::write(dir.path().join("mine"), "10.0.0.0/8\nnonsense").expect("written");
        let wrong = AllowLists::read(Some(dir.path())).expect_err("a line that is none");
        assert!(wrong.contains("mine:2: 'nonsense'"), "{wrong}");
    }

    #[test]
    fn a_list_that_is_gone_lets_nobody_in() {
        let mut source = Source::new("a", "none");
        source.allow_lists = vec!["gone".into()];
        assert!(
            !AllowLists::default().allows(&source, Some("192.0.2.1".parse().expect("an address")))
        );
    }
}
