//! The text of an endpoint's URL, kept beside the target that was read from it.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::target::{Locality, Target, TargetError};

/// The URL of an endpoint: its text as it was given, and the target that was read from it.
///
/// Serialized as the text. What is read back is kept even if it is not a target: an older version
/// may have accepted it, and its attempts then fail with the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl {
    text: String,
    target: Result<Target, TargetError>,
}

impl TargetUrl {
    /// The target.
    ///
    /// # Errors
    /// Why the text is not the URL of one.
    pub fn target(&self) -> Result<&Target, &TargetError> {
        self.target.as_ref()
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// See [`Target::signs`]. A URL that is not accepted counts as an HTTP one, here and below.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.target.as_ref().is_ok_and(Target::signs) || self.target.is_err()
    }

    /// See [`Target::is_leased`].
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.target.as_ref().is_ok_and(Target::is_leased)
    }

    /// See [`Target::batches`].
    #[must_use]
    pub fn batches(&self) -> bool {
        self.target.as_ref().is_ok_and(Target::batches) || self.target.is_err()
    }

    /// See [`Target::locality`]. Nothing is sent to a URL that is not accepted, so that it says
    /// nothing about the link.
    #[must_use]
    pub fn locality(&self, allow_private: bool) -> Locality {
        self.target.as_ref().map_or(Locality::Here, |target| target.locality(allow_private))
    }
}

impl FromStr for TargetUrl {
    type Err = TargetError;

    /// Reads the URL of a new endpoint: other than [`From`], refuses what is not accepted.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let target = Target::parse(text)?;
        Ok(Self { text: text.to_owned(), target: Ok(target) })
    }
}

impl From<String> for TargetUrl {
    fn from(text: String) -> Self {
        let target = Target::parse(&text);
        Self { text, target }
    }
}

impl From<&str> for TargetUrl {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<&String> for TargetUrl {
    fn from(text: &String) -> Self {
        Self::from(text.clone())
    }
}

impl Deref for TargetUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for TargetUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TargetUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::{Locality, TargetUrl};

    #[test]
    fn a_target_knows_what_kind_of_deliveries_it_takes() {
        for (url, signs, is_leased, batches) in [
            ("http://a/", true, false, true),
            ("unix:/run/a.sock", true, false, true),
            ("exec:/bin/true", false, false, false),
            ("pull:", false, true, false),
            ("once accepted", true, false, true),
        ] {
            let known = TargetUrl::from(url);
            assert_eq!(
                (known.signs(), known.is_leased(), known.batches()),
                (signs, is_leased, batches),
                "{url}"
            );
        }
    }

    #[test]
    fn a_target_knows_where_it_is() {
        let at = |url: &str, allow_private| TargetUrl::from(url).locality(allow_private);
        for here in [
            "http://127.0.0.1:80/x",
            "http://[::1]:8/",
            "http://localhost/",
            "unix:/run/a:/",
            "exec:/bin/a",
            "pull:",
        ] {
            assert_eq!(at(here, true), Locality::Here, "{here}");
        }
        assert_eq!(at("https://A.example:444/x", false), Locality::Far("a.example".into()));
        assert_eq!(at("http://192.0.2.7/", true), Locality::Near("192.0.2.7".into()));
    }

    #[test]
    fn the_text_is_kept_as_it_was_given() {
        assert_eq!(TargetUrl::from("HTTP://A.example:80").as_str(), "HTTP://A.example:80");
    }
}
