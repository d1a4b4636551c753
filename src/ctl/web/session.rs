//! The session: a token that is printed and used once, and the two secrets it is exchanged for.
//!
//! A browser sends the cookie to every port of the host, so other servers of this machine may come
//! to know it. The key stands behind the `#` of the address that the exchange leads to, which is
//! sent to nobody; the page keeps it where only its own origin, port included, can read it.

use std::sync::{Mutex, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue};
use rand::TryRngCore;
use subtle::ConstantTimeEq;

use crate::ctl::error::CtlError;

/// Bytes of a token, of a cookie, of a key and of the cookie's name.
const SECRET_BYTES: usize = 32;
const NAME_BYTES: usize = 6;
/// The header in which the page sends its key.
const KEY: &str = "x-hookbox-key";

/// The one session of a run.
pub(super) struct PageSession {
    /// Gone once it was used.
    token: Mutex<Option<String>>,
    /// Cookies do not know ports: a name of its own keeps two runs apart.
    name: String,
    cookie: String,
    /// What the page sends with each request to the API, besides.
    key: String,
}

/// What a token is exchanged for.
pub(super) struct PageEntry {
    pub(super) cookie: HeaderValue,
    /// The page, with the key behind the `#`.
    pub(super) location: HeaderValue,
}

impl PageSession {
    /// A session that nobody has entered yet, and its token.
    pub(super) fn open() -> Result<(Self, String), CtlError> {
        let (token, cookie) = (random(SECRET_BYTES)?, random(SECRET_BYTES)?);
        let key = random(SECRET_BYTES)?;
        let name = format!("hookbox-{}", random(NAME_BYTES)?);
        Ok((Self { token: Mutex::new(Some(token.clone())), name, cookie, key }, token))
    }

    /// The cookie and the key for the token, once.
    pub(super) fn exchange(&self, given: &str) -> Option<PageEntry> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let is_right = token.as_ref().is_some_and(|token| is_same(token, given));
        if !is_right {
            return None;
        }
        *token = None;
        let (name, cookie) = (&self.name, &self.cookie);
        let cookie = format!("{name}={cookie}; HttpOnly; SameSite=Strict; Path=/");
        Some(PageEntry {
            cookie: HeaderValue::from_str(&cookie).ok()?,
            location: HeaderValue::from_str(&format!("/#k={}", self.key)).ok()?,
        })
    }

    /// Whether a request has the key, which only the page itself knows.
    pub(super) fn has_key(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(KEY).iter();
        let (first, more) = (given.next(), given.next());
        more.is_none()
            && first.and_then(|key| key.to_str().ok()).is_some_and(|key| is_same(key, &self.key))
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
    use hyper::header::{COOKIE, HeaderName};

    use super::{KEY, PageSession};

    #[test]
    fn a_token_opens_the_session_once() {
        let (session, token) = PageSession::open().expect("random numbers");
        assert!(session.exchange("").is_none() && session.exchange("x").is_none());
        let entry = session.exchange(&token).expect("the right one");
        let set = entry.cookie.to_str().expect("text");
        assert!(set.ends_with("; HttpOnly; SameSite=Strict; Path=/"), "{set}");
        assert!(session.exchange(&token).is_none(), "used up");

        let cookie = set.split(';').next().expect("name and value");
        let with = |value: &str| {
            let headers = HeaderMap::from_iter([(COOKIE, value.parse().expect("a value"))]);
            session.has_entered(&headers)
        };
        assert!(with(cookie) && with(&format!("other=1; {cookie}; more=2")));
        assert!(!with("other=1") && !with(&cookie[..cookie.len() - 1]) && !with(&token));
        assert!(!session.has_entered(&HeaderMap::new()));

        let location = entry.location.to_str().expect("text");
        let key = location.strip_prefix("/#k=").expect("behind the hash");
        let with_keys = |keys: &[&str]| {
            let name = HeaderName::from_static(KEY);
            let header = |key: &&str| (name.clone(), key.parse().expect("a value"));
            session.has_key(&keys.iter().map(header).collect())
        };
        assert!(with_keys(&[key]));
        let secret = cookie.split_once('=').expect("name and value").1;
        let wrong: [&[&str]; 6] = [&[], &[""], &[&token], &[secret], &[&key[1..]], &[key, key]];
        for others in wrong {
            assert!(!with_keys(others), "{others:?}");
        }
    }
}
