//! Values of a wrong form, in words that say what to write.
//!
//! serde says what it expected in terms of Rust. Files, requests and the configuration are written
//! by people.

/// What serde says of a value, as what to write instead. Other texts stay as they are.
#[must_use]
pub fn form_error(message: &str) -> String {
    let message = message.trim_end();
    if let Some(rest) = message.strip_prefix("unknown variant `")
        && let Some((given, known)) = rest.split_once("`, expected ")
    {
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        return format!("'{given}' is none of {}", known.join(", "));
    }

    let wrong = ["invalid type: ", "invalid value: "];
    let rest = wrong.iter().find_map(|beginning| message.strip_prefix(beginning));
    let Some((given, expected)) = rest.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let value = given_value(given);
    match expected {
        "a sequence" => match value {
            Some(value) => format!("must be a list: write [{value}]"),
            None => "must be a list in brackets".to_owned(),
        },
        "a string" | "path string" => match value {
            Some(value) => format!("must be a text in quotes: write \"{value}\""),
            None => "must be a text in quotes".to_owned(),
        },
        "a boolean" => "must be true or false, without quotes".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "must be a whole number from 0".to_owned(),
        "i32" | "i64" => "must be a whole number".to_owned(),
        "f32" | "f64" => "must be a number".to_owned(),
        expected if expected == "a map" || expected.starts_with("struct ") => {
            "must be a table with keys of its own".to_owned()
        }
        _ => message.to_owned(),
    }
}

/// The value of ``string "x"``, ``integer `5` `` and the like, as it was written.
fn given_value(given: &str) -> Option<&str> {
    if let Some(text) = given.strip_prefix("string ") {
        return Some(text);
    }
    let (_, value) = given.split_once('`')?;
    value.strip_suffix('`')
}

#[cfg(test)]
mod tests {
    use super::form_error;

    const CASES: &[(&str, &str)] = &[
        ("invalid type: string \"a:1\", expected a sequence", "must be a list: write [\"a:1\"]"),
        ("invalid type: integer `5`, expected a sequence", "must be a list: write [5]"),
        ("invalid type: map, expected a sequence", "must be a list in brackets"),
        (
            "invalid type: integer `660`, expected a string",
            "must be a text in quotes: write \"660\"",
        ),
        (
            "invalid type: integer `1`, expected path string",
            "must be a text in quotes: write \"1\"",
        ),
        ("invalid type: sequence, expected a string\n", "must be a text in quotes"),
        (
            "invalid type: string \"true\", expected a boolean",
            "must be true or false, without quotes",
        ),
        ("invalid value: integer `-1`, expected usize", "must be a whole number from 0"),
        (
            "invalid type: integer `3`, expected struct LogConfig",
            "must be a table with keys of its own",
        ),
        ("unknown variant `xml`, expected `text` or `json`", "'xml' is none of text, json"),
        ("unknown variant `a`, expected one of `b`, `c`, `d`", "'a' is none of b, c, d"),
        ("'soon' is not a duration", "'soon' is not a duration"),
    ];

    #[test]
    fn what_to_write_is_said_instead_of_types() {
        for (said, cure) in CASES {
            assert_eq!(form_error(said), *cure);
        }
    }
}
