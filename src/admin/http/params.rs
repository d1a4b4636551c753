//! The parameters of a request.

use data_encoding::HEXLOWER_PERMISSIVE;

use super::problem::Problem;

/// The query's parameters. Each handler takes those it knows; what is left over is refused by name.
#[derive(Debug, Default)]
pub struct RequestParams {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl RequestParams {
    /// Reads `a=b&c`; an absent value is empty.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for part in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((percent_decode(key, true)?, percent_decode(value, true)?));
        }
        Ok(Self { pairs, known: Vec::new() })
    }

    pub fn take(&mut self, key: &'static str) -> Option<String> {
        self.known.push(key);
        let at = self.pairs.iter().position(|(k, _)| k == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// A switch: there at all, or `true` or `1`.
    pub fn flag(&mut self, key: &'static str) -> Result<bool, Problem> {
        match self.take(key).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(other) => {
                Err(Problem::bad(format!("'{key}' must be true or false, not '{other}'")))
            }
        }
    }

    /// Refuses what nobody took: unknown names, and names given twice.
    pub fn done(&mut self) -> Result<(), Problem> {
        let Some((key, _)) = self.pairs.first() else { return Ok(()) };
        if self.known.contains(&key.as_str()) {
            return Err(Problem::bad(format!(
                "the parameter '{key}' is given twice: give it once"
            )));
        }
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(Problem::bad(format!("unknown parameter '{key}': the parameters here are {known}")))
    }
}

/// Undoes percent-encoding (RFC 3986 section 2.1); `form` also turns `+` into a space.
pub fn percent_decode(text: &str, form: bool) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();

    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let digits = tail.get(..2).and_then(|two| HEXLOWER_PERMISSIVE.decode(two).ok());
                let decoded = digits.ok_or_else(|| {
                    Problem::bad("a '%' in the address is not followed by two hex digits")
                })?;
                bytes.extend(decoded);
                rest = &tail[2..];
            }
            b'+' if form => bytes.push(b' '),
            other => bytes.push(other),
        }
    }

    String::from_utf8(bytes)
        .map_err(|_| Problem::bad("the address is not UTF-8 once it is decoded"))
}

#[cfg(test)]
mod tests {
    use super::{RequestParams, percent_decode};

    #[test]
    fn parameters_are_decoded_and_leftovers_named() {
        let mut params =
            RequestParams::parse("type=a%2Fb*&limit=3&x=1&follow").expect("well-formed");
        assert_eq!(params.take("type").as_deref(), Some("a/b*"));
        assert_eq!(params.take("limit").as_deref(), Some("3"));
        assert_eq!(params.flag("follow"), Ok(true));
        let refusal = params.done().expect_err("x is left over");
        assert!(
            refusal.detail.contains("'x'") && refusal.detail.contains("limit"),
            "{}",
            refusal.detail
        );
    }

    #[test]
    fn broken_percent_signs_are_refused() {
        for text in ["%", "%2", "%zz", "%ff", "%é"] {
            assert!(percent_decode(text, true).is_err(), "{text}");
        }
        assert_eq!(percent_decode("a+b", false).as_deref(), Ok("a+b"));
    }
}
