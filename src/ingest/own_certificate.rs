//! The certificate that TLS listeners show, and how long it is valid.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use crate::certificates::valid_between;
use crate::model::WallMs;
use crate::model::time::rfc3339;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// With less than this left it should have been renewed: authorities that renew by themselves do it
/// a third of the time before the end, 30 days of 90.
const ENDS_SOON_MS: u64 = 14 * DAY_MS;

/// The certificate of TLS listeners, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    file: PathBuf,
    not_before: WallMs,
    pub not_after: WallMs,
}

/// How a certificate stands in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateState {
    #[default]
    Valid,
    /// It should be renewed by now.
    EndsSoon,
    Ended,
    /// Its time has not come.
    Early,
}

impl OwnCertificate {
    /// `None` when its dates cannot be read.
    pub(super) fn new(file: &Path, certificate: &CertificateDer<'_>) -> Option<Self> {
        let (not_before, not_after) = valid_between(certificate)?;
        Some(Self { file: file.to_owned(), not_before, not_after })
    }

    #[must_use]
    pub fn state(&self, wall_ms: WallMs) -> CertificateState {
        match () {
            () if wall_ms > self.not_after => CertificateState::Ended,
            () if wall_ms < self.not_before => CertificateState::Early,
            () if self.not_after - wall_ms < ENDS_SOON_MS => CertificateState::EndsSoon,
            () => CertificateState::Valid,
        }
    }

    /// Whether clients believe it, as far as its dates go.
    #[must_use]
    pub fn is_valid(&self, wall_ms: WallMs) -> bool {
        matches!(self.state(wall_ms), CertificateState::Valid | CertificateState::EndsSoon)
    }

    /// What the operator should know of its dates, and do; begins with the key of the file.
    #[must_use]
    pub fn warning(&self, wall_ms: WallMs) -> Option<String> {
        let what = match self.state(wall_ms) {
            CertificateState::Valid => return None,
            CertificateState::EndsSoon => {
                let days = (self.not_after - wall_ms) / DAY_MS;
                let left = match days {
                    0 => "less than a day".to_owned(),
                    1 => "1 day".to_owned(),
                    days => format!("{days} days"),
                };
                format!("expires at {}, in {left}: renew it", rfc3339(self.not_after))
            }
            CertificateState::Ended => {
                format!("expired at {}: clients refuse it; renew it", rfc3339(self.not_after))
            }
            CertificateState::Early => {
                format!("is not valid before {}: clients refuse it", rfc3339(self.not_before))
            }
        };
        Some(format!("tls.cert: the certificate in {} {what}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::{CertificateState, DAY_MS, OwnCertificate};

    #[test]
    fn what_its_dates_mean_is_said_in_words() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["box.example".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        let made = params.self_signed(&key).expect("a certificate");
        let own = OwnCertificate::new("/etc/cert.pem".as_ref(), made.der()).expect("dates");

        let end = 1_577_836_800_000;
        assert_eq!(own.not_after, end);
        for (at, state, words) in [
            (end + 1, CertificateState::Ended, "expired at 2020-01-01T00:00:00.000Z: clients"),
            (end, CertificateState::EndsSoon, "in less than a day: renew it"),
            (end - DAY_MS, CertificateState::EndsSoon, ", in 1 day: renew it"),
            (end - 14 * DAY_MS + 1, CertificateState::EndsSoon, ", in 13 days: renew it"),
            (1_500_000_000_000, CertificateState::Early, "is not valid before"),
        ] {
            let warning = own.warning(at).expect("a warning");
            assert_eq!(own.state(at), state, "{warning}");
            assert!(warning.starts_with("tls.cert: ") && warning.contains(words), "{warning}");
        }
        assert_eq!(own.warning(end - 14 * DAY_MS), None);
        assert!(own.is_valid(end) && !own.is_valid(end + 1) && !own.is_valid(0));
    }
}
