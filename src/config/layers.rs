//! One configuration out of several files, and where each of its values comes from.
//!
//! The system's file, [`SYSTEM_FILE`], may be missing, and has drop-ins: the files `*.toml` of
//! [`DROP_INS`], folder by folder, in a folder by their names. A later value replaces an earlier
//! one, key by key. A file replaces one of the same name in an earlier folder as a whole. Any other
//! file is read alone: whoever names one asks for no more than that.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::drop_in_file::{self, DropInError};
use super::lines::keys_with_lines;
use super::{Config, ConfigError};
use crate::model::limits;

/// The configuration of the system's own daemon.
pub const SYSTEM_FILE: &str = "/etc/hookbox/hookbox.toml";
/// Its drop-ins, in the order in which they are read: those of the vendor, those made since boot,
/// those of the administrator.
pub const DROP_INS: &[&str] =
    &["/usr/lib/hookbox/conf.d", "/run/hookbox/conf.d", "/etc/hookbox/conf.d"];
/// Sources and endpoints that are applied when the system's own daemon starts: those of the vendor,
/// those of the administrator. The rules are those of the drop-ins.
pub const APPLY_FOLDERS: &[&str] = &["/usr/lib/hookbox/apply.d", "/etc/hookbox/apply.d"];
/// The admin socket of the system's own daemon.
pub const SYSTEM_SOCKET: &str = "/run/hookbox/admin.sock";
/// The admin socket of a daemon that was started in this folder without options.
pub const LOCAL_SOCKET: &str = "./hookbox-data/admin.sock";
/// A folder that stands for `/` where the system's configuration is looked for: for tests, and for
/// images that are checked before they are booted.
const ROOT: &str = "HOOKBOX_ROOT";
/// What is different for the system's own daemon when nothing is set.
const SYSTEM_DEFAULTS: &str =
    "data = \"/var/lib/hookbox\"\nadmin_socket = \"/run/hookbox/admin.sock\"\n";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueOrigin {
    File { file: PathBuf, line: usize },
    Variable(&'static str),
    Option(&'static str),
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Option(name) => write!(f, "{name}"),
        }
    }
}

/// What became of a file that could have been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileUse {
    Read,
    Missing,
    /// A link to `/dev/null` stands there instead of one of the same name.
    Masked,
    ReplacedBy(PathBuf),
}

/// A configuration, with where it comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EffectiveConfig {
    pub config: Config,
    /// By key, written as `section.key`; what is not there is a default.
    pub origins: BTreeMap<String, ValueOrigin>,
    /// The files, in the order in which they count.
    pub files: Vec<(PathBuf, FileUse)>,
}

impl EffectiveConfig {
    /// Reads a file, with its drop-ins when it is the system's.
    ///
    /// # Errors
    /// The first thing that is wrong: the file, the line, and how to fix it.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let root = std::env::var_os(ROOT).map(PathBuf::from);
        Self::read_below(file, root.as_deref().unwrap_or(Path::new("/")))
    }

    /// The same, with the system's configuration below `root`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_below(file: &Path, root: &Path) -> Result<Self, ConfigError> {
        let mut layers = Layers::default();
        if file == Path::new(SYSTEM_FILE) {
            layers.table = table_of(SYSTEM_DEFAULTS, file)?;
            layers.add_if_there(&below(root, SYSTEM_FILE))?;
            for (path, used) in files_in(root, DROP_INS, &[".toml"])? {
                match used {
                    FileUse::Read => {
                        let text = drop_in_file::read(&path, limits::DROP_IN_FILE);
                        layers.add(&path, &text.map_err(|why| left_out(&path, &why))?)?;
                    }
                    FileUse::Missing | FileUse::Masked | FileUse::ReplacedBy(_) => {
                        layers.files.push((path, used));
                    }
                }
            }
        } else {
            layers.add(file, &read(file)?)?;
        }
        layers.finish(file)
    }

    /// Where a key was set last; keys may be given without their section.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&ValueOrigin> {
        origin(&self.origins, key)
    }

    /// An error or note that begins with its key, as `tls.cert: …`, after the file and the line
    /// where that key was set last.
    #[must_use]
    pub fn located(&self, what: &str) -> String {
        located(&self.origins, what)
    }
}

/// The same, by where each key was set.
#[must_use]
pub fn located(origins: &BTreeMap<String, ValueOrigin>, what: &str) -> String {
    let key = what.split_once(": ").map_or("", |(key, _)| key);
    match origin(origins, key) {
        Some(origin @ ValueOrigin::File { .. }) => format!("{origin}: {what}"),
        Some(ValueOrigin::Variable(_) | ValueOrigin::Option(_)) | None => what.to_owned(),
    }
}

fn origin<'a>(origins: &'a BTreeMap<String, ValueOrigin>, key: &str) -> Option<&'a ValueOrigin> {
    let inside = format!(".{key}");
    let found = origins.iter().find(|(name, _)| *name == key || name.ends_with(&inside));
    found.map(|(_, origin)| origin)
}

/// What was read so far.
#[derive(Default)]
struct Layers {
    table: toml::Table,
    origins: BTreeMap<String, ValueOrigin>,
    files: Vec<(PathBuf, FileUse)>,
}

impl Layers {
    fn add_if_there(&mut self, file: &Path) -> Result<(), ConfigError> {
        match fs::read_to_string(file) {
            Ok(text) => self.add(file, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.files.push((file.to_owned(), FileUse::Missing));
                Ok(())
            }
            Err(error) => Err(unreadable(file, &error)),
        }
    }

    /// Puts the values of a file over those of the files before it.
    fn add(&mut self, file: &Path, text: &str) -> Result<(), ConfigError> {
        // Alone first: an error then has its line.
        Config::of_text(text, file)?;
        for (key, line) in keys_with_lines(text) {
            self.origins.insert(key, ValueOrigin::File { file: file.to_owned(), line });
        }

        for (name, value) in table_of(text, file)? {
            match (self.table.get_mut(&name), value) {
                (Some(toml::Value::Table(old)), toml::Value::Table(new)) => old.extend(new),
                (_, value) => {
                    self.table.insert(name, value);
                }
            }
        }
        self.files.push((file.to_owned(), FileUse::Read));
        Ok(())
    }

    fn finish(self, file: &Path) -> Result<EffectiveConfig, ConfigError> {
        let Self { table, origins, files } = self;
        let wrong = |what| ConfigError { file: file.to_owned(), line: None, what };
        let config: Config = toml::Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;

        config.check().map_err(|(key, what)| match origin(&origins, key) {
            Some(ValueOrigin::File { file, line }) => {
                let what = format!("{key}: {what}");
                ConfigError { file: file.clone(), line: Some(*line), what }
            }
            _ => wrong(format!("{key}: {what}")),
        })?;
        Ok(EffectiveConfig { config, origins, files })
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The files of [`APPLY_FOLDERS`] that are read; `None` when `file` is not the system's
/// configuration.
///
/// # Errors
/// A folder that cannot be read.
#[must_use]
pub fn apply_files(file: &Path) -> Option<Result<Vec<PathBuf>, ConfigError>> {
    let root = std::env::var_os(ROOT).map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let files = || files_in(&root, APPLY_FOLDERS, &[".toml", ".json"]);
    let read = |files: Vec<(PathBuf, FileUse)>| {
        files.into_iter().filter(|(_, used)| *used == FileUse::Read).map(|(file, _)| file).collect()
    };
    (file == Path::new(SYSTEM_FILE)).then(|| files().map(read))
}

/// The text of one of the [`apply_files`], which is read as drop-ins are.
///
/// # Errors
/// When others can change it, or it cannot be read.
pub fn apply_text(file: &Path) -> Result<String, ConfigError> {
    drop_in_file::read(file, limits::APPLIED_FILE).map_err(|why| left_out(file, &why))
}

/// All files of these folders whose names end so, in the order in which they count, and whether
/// they are read.
fn files_in(
    root: &Path,
    folders: &[&str],
    endings: &[&str],
) -> Result<Vec<(PathBuf, FileUse)>, ConfigError> {
    let mut found: Vec<(OsString, PathBuf)> = Vec::new();
    for folder in folders.iter().map(|folder| below(root, folder)) {
        match drop_in_file::check_folder(&folder) {
            Err(why) if why.is_missing() => continue,
            checked => checked.map_err(|why| left_out(&folder, &why))?,
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&folder, &error)),
        };

        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<OsString> = names.filter(|name| is_drop_in(name, endings)).collect();
        names.sort();
        found.extend(names.into_iter().map(|name| {
            let path = folder.join(&name);
            (name, path)
        }));
    }

    let used = |at: usize| {
        let (name, _) = &found[at];
        let later = found[at + 1..].iter().rev().find(|(other, _)| other == name);
        match later {
            Some((_, path)) => FileUse::ReplacedBy(path.clone()),
            None if drop_in_file::is_masked(&found[at].1) => FileUse::Masked,
            None => FileUse::Read,
        }
    };
    Ok((0..found.len()).map(|at| (found[at].1.clone(), used(at))).collect())
}

/// Hidden files are those that editors and package managers leave.
fn is_drop_in(name: &OsStr, endings: &[&str]) -> bool {
    // By its bytes: a name need not be UTF-8.
    let name = name.as_encoded_bytes();
    let ends_well = endings.iter().any(|ending| name.ends_with(ending.as_bytes()));
    ends_well && !name.starts_with(b".")
}

fn read(file: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(file).map_err(|error| unreadable(file, &error))
}

fn left_out(path: &Path, why: &DropInError) -> ConfigError {
    ConfigError { file: path.to_owned(), line: None, what: format!("cannot read it: {why}") }
}

fn unreadable(file: &Path, error: &io::Error) -> ConfigError {
    let what = match error.kind() {
        io::ErrorKind::InvalidData => "it is not a text in UTF-8".to_owned(),
        _ => format!(
            "cannot read it: {error}; give another file with --config, or leave it out for the \
             defaults"
        ),
    };
    ConfigError { file: file.to_owned(), line: None, what }
}

fn table_of(text: &str, file: &Path) -> Result<toml::Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| ConfigError {
        file: file.to_owned(),
        line: None,
        what: error.message().to_owned(),
    })
}
