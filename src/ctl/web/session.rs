//! The session: a token that is printed and used once, and the cookie that it is exchanged for.

use std::sync::{Mutex, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue};
use rand::TryRngCore;
use subtle::ConstantTimeEq;

use crate::ctl::error::CtlError;

/// Bytes of a token, of a cookie and of its name.
const SECRET_BYTES: usize = 32;
const NAME_BYTES: usize = 6;
/// How long a browser keeps the cookie. It is of no use once the command has ended.
const COOKIE_S: u32 = 7 * 86_400;

/// The one session of a run.
pub(super) struct PageSession {
    /// Gone once it was used.
    token: Mutex<Option<String>>,
    /// Cookies do not know ports: a name of its own keeps two runs apart.
    name: String,
    cookie: String,
}

impl PageSession {
    /// A session that nobody has entered yet, and its token.
    pub(super) fn open() -> Result<(Self, String), CtlError> {
        let (token, cookie) = (random(SECRET_BYTES)?, random(SECRET_BYTES)?);
        let name = format!("hookbox-{}", random(NAME_BYTES)?);
        Ok((Self { token: Mutex::new(Some(token.clone())), name, cookie }, token))
    }

    /// The cookie for the token, once.
    pub(super) fn exchange(&self, given: &str) -> Option<HeaderValue> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let is_right = token.as_ref().is_some_and(|token| is_same(token, given));
        if !is_right {
            return None;
        }
        *token = None;
        let (name, cookie) = (&self.name, &self.cookie);
        let text =
            format!("{name}={cookie}; HttpOnly; SameSite=Strict; Path=/; Max-Age={COOKIE_S}");
        HeaderValue::from_str(&text).ok()
    }

    /// Whether a request has the cookie.
    pub(super) fn has_entered(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .any(|(name, value)| name == self.name && is_same(value, &self.cookie))
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn random(bytes: usize) -> Result<String, CtlError> {
    let mut drawn = vec![0; bytes];
    rand::rngs::OsRng.try_fill_bytes(&mut drawn).map_err(|error| {
        CtlError::Refused(format!("the system gives no random numbers: {error}"))
    })?;
    Ok(BASE64URL_NOPAD.encode(&drawn))
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::COOKIE;

    use super::PageSession;

    #[test]
    fn a_token_opens_the_session_once() {
        let (session, token) = PageSession::open().expect("random numbers");
        assert!(session.exchange("").is_none() && session.exchange("x").is_none());
        let set = session.exchange(&token).expect("the right one");
        let set = set.to_str().expect("text");
        assert!(set.contains("; HttpOnly; SameSite=Strict; Path=/;"), "{set}");
        assert!(session.exchange(&token).is_none(), "used up");

        let cookie = set.split(';').next().expect("name and value");
        let with = |value: &str| {
            let headers = HeaderMap::from_iter([(COOKIE, value.parse().expect("a value"))]);
            session.has_entered(&headers)
        };
        assert!(with(cookie) && with(&format!("other=1; {cookie}; more=2")));
        assert!(!with("other=1") && !with(&cookie[..cookie.len() - 1]) && !with(&token));
        assert!(!session.has_entered(&HeaderMap::new()));
    }
}
