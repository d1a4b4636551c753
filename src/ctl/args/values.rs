//! Values that are checked before the daemon is asked.

pub(super) fn dash(text: &str) -> Result<String, String> {
    if text == "-" {
        return Ok(text.to_owned());
    }
    Err("give the body with --data or --file, or - to read it from stdin".into())
}

pub(in crate::ctl) fn factor(text: &str) -> Result<f64, String> {
    within(text, 1.0, 100.0)
}

pub(in crate::ctl) fn share(text: &str) -> Result<f64, String> {
    within(text, 0.0, 1.0)
}

pub(super) fn within(text: &str, low: f64, high: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| (low..=high).contains(n));
    number.ok_or_else(|| format!("write a number from {low} to {high}"))
}

pub(super) fn rate(text: &str) -> Result<String, String> {
    let (count, per) = text.split_once('/').unwrap_or((text, "s"));
    let good = count.parse::<u32>().is_ok_and(|n| n > 0) && matches!(per, "s" | "m" | "min" | "h");
    if good { Ok(text.to_owned()) } else { Err("write it as 10/s, 100/m or 1000/h".into()) }
}

pub(super) fn network(text: &str) -> Result<String, String> {
    let good = text.strip_prefix('@').is_some_and(crate::model::valid_name)
        || text.parse::<ipnet::IpNet>().is_ok()
        || text.parse::<std::net::IpAddr>().is_ok();
    if good {
        Ok(text.to_owned())
    } else {
        Err("write it as 192.0.2.0/24, 2001:db8::/32, 192.0.2.7, or a list such as @github".into())
    }
}

/// `65536`, `512k`, `1MiB`: units of 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        _ => None,
    };
    let bytes = number.parse::<u64>().ok().zip(shift).and_then(|(n, shift)| n.checked_mul(1 << shift));
    bytes.filter(|n| *n > 0).ok_or_else(|| "write it as 65536, 512k or 1MiB".into())
}
