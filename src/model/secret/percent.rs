//! Percent-encoding (RFC 3986, section 2.1).

/// Undoes percent-encoding, even when it was applied several times.
#[must_use]
pub fn decoded(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..4 {
        let once = String::from_utf8_lossy(&percent_decoded(&text)).into_owned();
        if once == text {
            break;
        }
        text = once;
    }
    text
}

/// Undoes percent-encoding once; a `%` that begins none stays.
#[must_use]
pub fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let hex = hex
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| std::str::from_utf8(hex).ok());

        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}
