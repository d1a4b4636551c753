//! The members of an object and the elements of an array, each with the bytes that stand in the
//! body, without building the document. Pure.
//!
//! One pass over the body; what is in a member or an element is skipped without recursion.

use super::read::{ByteRange, JsonError, JsonReader, JsonText, JsonToken, text};

/// Gives `each` the members of an object, in their order: the name, and the bytes of the value
/// without the blanks around it. What is given of a body that turns out not to be JSON means
/// nothing.
///
/// # Errors
/// When the body is not an object.
pub fn members(body: &[u8], mut each: impl FnMut(JsonText<'_>, &[u8])) -> Result<(), JsonError> {
    let mut reader = JsonReader::new(body);
    if !matches!(reader.next()?, Some(JsonToken::Object(_))) {
        return Err(JsonError { at: 0 });
    }

    while let Some(JsonToken::Name(name)) = reader.next()? {
        let Some(value) = reader.next()? else { break };
        let range = whole(&mut reader, value)?;
        each(text(slice(body, name)), slice(body, range));
    }
    end(&mut reader)
}

/// The elements of an array, without the blanks around them. Of more than `most` the first `most`
/// and one.
///
/// # Errors
/// When the body is not an array.
pub fn elements(body: &[u8], most: usize) -> Result<Vec<&[u8]>, JsonError> {
    let mut reader = JsonReader::new(body);
    if !matches!(reader.next()?, Some(JsonToken::Array(_))) {
        return Err(JsonError { at: 0 });
    }

    let mut elements = Vec::new();
    while let Some(token) = reader.next()?.filter(|token| *token != JsonToken::End) {
        let range = whole(&mut reader, token)?;
        if elements.len() <= most {
            elements.push(slice(body, range));
        }
    }
    end(&mut reader)?;
    Ok(elements)
}

/// Where the value begins and ends whose first token was read.
fn whole(reader: &mut JsonReader<'_>, token: JsonToken) -> Result<ByteRange, JsonError> {
    let behind = |length: usize, at: usize| (at.saturating_sub(length), at);
    Ok(match token {
        JsonToken::Object(begin) | JsonToken::Array(begin) => {
            reader.skip()?;
            (begin, reader.at())
        }
        JsonToken::Text((begin, end)) => (begin.saturating_sub(1), end + 1),
        JsonToken::Number(range) | JsonToken::Name(range) => range,
        JsonToken::Bool(true) | JsonToken::Null => behind(4, reader.at()),
        JsonToken::Bool(false) => behind(5, reader.at()),
        JsonToken::End => behind(0, reader.at()),
    })
}

/// Nothing may follow.
fn end(reader: &mut JsonReader<'_>) -> Result<(), JsonError> {
    match reader.next()? {
        None => Ok(()),
        Some(_) => Err(JsonError { at: reader.at() }),
    }
}

fn slice(body: &[u8], range: ByteRange) -> &[u8] {
    body.get(range.0..range.1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{elements, members};

    #[test]
    fn pieces_are_cut_out_as_they_stand() {
        let body = " [ {\"a\": [1 ,2]} ,\"x\\\"]\", -1.5e3 ,true,false , null,[],{} ] ";
        let found = elements(body.as_bytes(), 9).expect("an array");
        let found: Vec<&str> = found.iter().map(|one| std::str::from_utf8(one).unwrap()).collect();
        let pieces =
            ["{\"a\": [1 ,2]}", "\"x\\\"]\"", "-1.5e3", "true", "false", "null", "[]", "{}"];
        assert_eq!(found, pieces);

        let mut seen = Vec::new();
        let body = "\u{feff}{\"a\\u0062\" : {\"c\":1} , \"d\":\"e\\ud83d\n\" }";
        members(body.as_bytes(), |name, value| {
            seen.push((name.text.into_owned(), String::from_utf8_lossy(value).into_owned()));
        })
        .expect("an object");
        let expected = [("ab", "{\"c\":1}"), ("d", "\"e\\ud83d\n\"")];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_not_json_to_its_end_has_no_pieces() {
        for broken in ["", "{}", "[1", "[1,]", "[1] x", "[1 2]", "1", "[[1]", "[1]]"] {
            assert!(elements(broken.as_bytes(), 9).is_err(), "{broken}");
        }
        for broken in ["", "[]", "{\"a\":1", "{\"a\":1,}", "{\"a\":1} x", "{\"a\"}", "1", "{\"a\":"]
        {
            assert!(members(broken.as_bytes(), |_, _| ()).is_err(), "{broken}");
        }
        let many = format!("[0{}]", ",0".repeat(1000));
        assert_eq!(elements(many.as_bytes(), 10).expect("an array").len(), 11);
    }
}
