//! Numbers, sizes and times as the pages write them.

/// `1,048,576`.
pub fn n<N: TryInto<u64>>(number: N) -> String {
    let digits =
        number.try_into().unwrap_or_else(|_| panic!("a limit is not negative")).to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `256 KiB`.
pub fn bytes<N: TryInto<u64>>(number: N) -> String {
    let number: u64 = number.try_into().unwrap_or_else(|_| panic!("a limit is not negative"));
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if number >= 1 << shift && number.is_multiple_of(1 << shift) {
            return format!("{} {unit}", n(number >> shift));
        }
    }
    format!("{} bytes", n(number))
}

/// `15 s`.
pub fn time(ms: u64) -> String {
    for (unit, size) in [("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)] {
        if ms >= size && ms.is_multiple_of(size) {
            let count = ms / size;
            let unit = if unit == "days" && count == 1 { "day" } else { unit };
            return format!("{count} {unit}");
        }
    }
    format!("{ms} ms")
}
