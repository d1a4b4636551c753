//! The result of a template for one event.

use crate::outbound::message::Message;

/// A text, and the same as people are shown it.
pub struct Rendered {
    pub text: String,
    /// The text with its secrets redacted, when any was looked up.
    pub redacted: Option<String>,
    /// The secrets in it.
    pub secrets: Vec<String>,
}

impl Rendered {
    /// For people.
    pub fn shown(&self) -> &str {
        self.redacted.as_ref().unwrap_or(&self.text)
    }

    pub fn has_secrets(&self) -> bool {
        self.redacted.is_some()
    }

    /// Has its secrets redacted in what is reported of the message.
    pub fn add_secrets(&self, message: &mut Message) {
        if self.has_secrets() {
            self.secrets.iter().for_each(|secret| message.redactor.add_text(secret));
            message.redactor.add_difference(&self.text, self.shown());
        }
    }
}
