//! Numbers, as they are written. No size and no number of digits is too large to be
//! distinguished from another.

use std::cmp::Ordering;

/// A number's text, which is one of RFC 8259.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a>(&'a str);

/// `0.d₁d₂d₃… · 10^magnitude`, where `d₁` is not 0.
#[derive(Clone, Copy, Debug)]
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    /// Digits that are left out at the front, and all that count behind them; 0 for the number 0.
    zeros: usize,
    digits: usize,
    magnitude: i64,
}

impl<'a> Number<'a> {
    /// Of a text that is known to be a number.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    #[must_use]
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Whether it is written without a fraction and an exponent.
    #[must_use]
    pub fn is_integer(self) -> bool {
        !self.0.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
    }

    /// How many of its digits count.
    #[must_use]
    pub fn digits(self) -> usize {
        self.decimal().digits
    }

    /// How many of them stand behind the decimal point when it is written without an exponent.
    #[must_use]
    pub fn decimals(self) -> usize {
        let decimal = self.decimal();
        let whole = usize::try_from(decimal.magnitude);
        match whole {
            _ if decimal.digits == 0 => 0,
            Ok(whole) => decimal.digits.saturating_sub(whole),
            Err(_) => usize::MAX,
        }
    }

    /// The whole number that is left of it without what stands behind the decimal point, exactly;
    /// `None` when it does not fit.
    #[must_use]
    pub fn truncated(self) -> Option<i128> {
        // Digits of the largest.
        const MOST: i64 = 39;
        let decimal = self.decimal();
        if decimal.digits == 0 || decimal.magnitude <= 0 {
            return Some(0);
        }
        let whole =
            usize::try_from(decimal.magnitude).ok().filter(|_| decimal.magnitude <= MOST)?;
        let digits = decimal.written().copied().chain(std::iter::repeat(b'0')).take(whole);
        digits.into_iter().try_fold(0i128, |number, digit| {
            let digit = i128::from(digit - b'0');
            let number = number.checked_mul(10)?;
            if decimal.negative { number.checked_sub(digit) } else { number.checked_add(digit) }
        })
    }

    /// Compares the numbers themselves: `1`, `1.0` and `10e-1` are equal, 2^64 and 2^64 + 1 are
    /// not.
    #[must_use]
    pub fn compare(self, other: Number<'_>) -> Ordering {
        let (a, b) = (self.decimal(), other.decimal());
        match (a.sign(), b.sign()) {
            (a, b) if a != b => a.cmp(&b),
            (0, _) => Ordering::Equal,
            (sign, _) => {
                let size = a.magnitude.cmp(&b.magnitude).then_with(|| a.written().cmp(b.written()));
                if sign < 0 { size.reverse() } else { size }
            }
        }
    }

    fn decimal(self) -> Decimal<'a> {
        let (negative, text) =
            self.0.strip_prefix('-').map_or((false, self.0), |rest| (true, rest));
        let (mantissa, exponent) =
            text.find(['e', 'E']).map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (whole, fraction) = (whole.as_bytes(), fraction.as_bytes());
        let all = || whole.iter().chain(fraction);
        let zeros = all().take_while(|digit| **digit == b'0').count();
        let length = whole.len() + fraction.len();
        let trailing = all().rev().take_while(|digit| **digit == b'0').count();
        let digits = length.saturating_sub(zeros + trailing);
        let as_exponent = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
        let magnitude = power(exponent)
            .saturating_add(as_exponent(whole.len()))
            .saturating_sub(as_exponent(zeros));
        Decimal { negative, whole, fraction, zeros, digits, magnitude }
    }
}

impl Decimal<'_> {
    fn sign(&self) -> i8 {
        match (self.digits, self.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }

    fn written(&self) -> impl Iterator<Item = &u8> {
        self.whole.iter().chain(self.fraction).skip(self.zeros).take(self.digits)
    }
}

/// An exponent; one beyond all measure is as large as can be written.
fn power(text: &str) -> i64 {
    let beyond = if text.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
    if text.is_empty() {
        0
    } else {
        text.parse().unwrap_or(beyond).clamp(i64::MIN / 4, i64::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::{Equal, Greater, Less};

    use super::Number;

    #[test]
    fn numbers_are_compared_exactly() {
        let cases = [
            ("8202522731445525542", "8202522731445525543", Less),
            ("18446744073709551616", "18446744073709551617", Less),
            ("18446744073709551616", "1.8446744073709551616e19", Equal),
            ("1", "1.0", Equal),
            ("10e-1", "1", Equal),
            ("0.1", "1e-1", Equal),
            ("100", "1E+2", Equal),
            ("0", "-0.0e5", Equal),
            ("-1", "0", Less),
            ("-2", "-1", Less),
            ("-10", "-9", Less),
            ("9", "10", Less),
            ("0.01", "0.009", Greater),
            ("12", "120", Less),
            ("1.05", "1.5", Less),
            ("1e400", "1e401", Less),
            ("1e-400", "0", Greater),
            ("1e99999999999999999999", "1e5", Greater),
            ("-1e99999999999999999999", "1e-99999999999999999999", Less),
            ("00", "0", Equal),
        ];

        for (a, b, expected) in cases {
            assert_eq!(Number::new(a).compare(Number::new(b)), expected, "{a} {b}");
            assert_eq!(Number::new(b).compare(Number::new(a)), expected.reverse(), "{b} {a}");
        }
    }

    #[test]
    fn a_number_is_cut_to_a_whole_one_exactly_or_not_at_all() {
        let (most, least) = (i128::MAX.to_string(), i128::MIN.to_string());
        for (text, whole) in [
            ("0", Some(0)),
            ("-0.9", Some(0)),
            ("1.99", Some(1)),
            ("-12.5e1", Some(-125)),
            ("1e30", Some(1_000_000_000_000_000_000_000_000_000_000)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("1e-400", Some(0)),
            ("1e-99999999999999999999", Some(0)),
            (&*most, Some(i128::MAX)),
            (&*least, Some(i128::MIN)),
            ("170141183460469231731687303715884105728", None),
            ("-170141183460469231731687303715884105729", None),
            ("1e400", None),
            ("1e99999999999999999999", None),
        ] {
            assert_eq!(Number::new(text).truncated(), whole, "{text}");
        }

        for (text, decimals) in
            [("0.0", 0), ("1.10", 1), ("15e1", 0), ("1e400", 0), ("12.345", 3), ("0.5e1", 0)]
        {
            assert_eq!(Number::new(text).decimals(), decimals, "{text}");
        }
    }

    #[test]
    fn small_ones_agree_with_floating_point() {
        let mut texts = Vec::new();
        for mantissa in ["0", "1", "-1", "12", "0.5", "-0.05", "3.25", "100"] {
            texts.extend(["", "e0", "e3", "E-2"].map(|exponent| format!("{mantissa}{exponent}")));
        }
        for a in &texts {
            for b in &texts {
                let floats =
                    a.parse::<f64>().expect("a number").partial_cmp(&b.parse().expect("a number"));
                assert_eq!(Some(Number::new(a).compare(Number::new(b))), floats, "{a} {b}");
            }
        }
    }
}
