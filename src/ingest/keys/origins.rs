//! Where key material comes from.

use std::fs::OpenOptions;
use std::future::Future;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::model::limits;
use crate::model::secret::trimmed_secret;

/// The result of a fetch: the status and the body, or why there is none.
pub type FetchResult = Result<(u16, Vec<u8>), String>;

/// Fetches a URL through outbound's address guard; the flag allows a private address.
pub type Fetch =
    Arc<dyn Fn(String, bool) -> Pin<Box<dyn Future<Output = FetchResult> + Send>> + Send + Sync>;

/// Looks up a variable of the environment.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where key material comes from.
#[derive(Clone, Default)]
pub struct Origins {
    pub environment: Option<Environment>,
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// Where the last good key sets, and certificates that proved a message, are kept.
    pub cache: Option<PathBuf>,
    pub fetch: Option<Fetch>,
}

/// Whether the text names where a secret stands, and is not the secret itself.
pub(super) fn is_reference(text: &str) -> bool {
    ["env:", "cred:", "file:"].iter().any(|kind| text.starts_with(kind))
}

impl Origins {
    /// The secret that `env:NAME`, `cred:NAME` or `file:/path` refers to; `None` when the text is
    /// the secret itself.
    ///
    /// # Errors
    /// What is missing, and how to fix it.
    pub fn reference(&self, text: &str) -> Result<Option<String>, String> {
        let found = if let Some(name) = text.strip_prefix("env:") {
            self.variable(name)?
        } else if let Some(name) = text.strip_prefix("cred:") {
            self.credential(name)?
        } else if let Some(path) = text.strip_prefix("file:") {
            file(Path::new(path))?
        } else {
            return Ok(None);
        };

        // Files end with a line break, and may begin with a mark, that is not part of the secret.
        let found = trimmed_secret(&found);
        if found.is_empty() {
            return Err(format!("the value of {text} is empty"));
        }
        Ok(Some(found.to_owned()))
    }

    fn variable(&self, name: &str) -> Result<String, String> {
        let value = self.environment.as_ref().and_then(|environment| environment(name));
        value.ok_or_else(|| {
            format!("the variable {name} is not in hookboxd's environment: set it and restart")
        })
    }

    fn credential(&self, name: &str) -> Result<String, String> {
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return Err(format!("'{name}' cannot be a credential's name"));
        }
        let Some(folder) = &self.credentials else {
            return Err(format!(
                "there is no $CREDENTIALS_DIRECTORY for cred:{name}: add \
                 LoadCredential={name}:/path to the service"
            ));
        };
        std::fs::read_to_string(folder.join(name)).map_err(|error| {
            format!("the credential {name} cannot be read in {}: {error}", folder.display())
        })
    }
}

/// The text of a file that somebody else keeps. One that is not a plain file is not waited for.
fn file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(format!("'{shown}' is not an absolute path: write it as file:/path"));
    }

    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let read = || -> std::io::Result<Option<String>> {
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut text = String::new();
        file.take(limits::SECRET_FILE as u64 + 1).read_to_string(&mut text)?;
        Ok((text.len() <= limits::SECRET_FILE).then_some(text))
    };
    match read() {
        Ok(Some(text)) => Ok(text),
        Ok(None) => {
            let most = limits::SECRET_FILE >> 10;
            Err(format!("{shown} holds no secret: it is not a file, or larger than {most} KiB"))
        }
        Err(error) => Err(format!("the secret cannot be read from {shown}: {error}")),
    }
}
