//! Where key material comes from.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

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
    /// Where the last good key sets are kept.
    pub cache: Option<PathBuf>,
    pub fetch: Option<Fetch>,
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
            file(path)?
        } else {
            return Ok(None);
        };

        // Files end with a line break that is not part of the secret.
        let found = found.trim_end_matches(['\r', '\n']);
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

/// The text of a file of the daemon's.
fn file(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("'{path}' is not an absolute path: write it as file:/path"));
    }
    std::fs::read_to_string(path)
        .map_err(|error| format!("the secret's file {path} cannot be read: {error}"))
}
