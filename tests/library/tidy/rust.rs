//! Reading Rust just well enough for the rules: words blanked out, tests cut off, functions and
//! types found.

/// The code with comments, the contents of strings and characters blanked out; lines stay where
/// they are.
pub fn without_words(raw: &str) -> String {
    let text: Vec<char> = raw.chars().collect();
    let mut out = String::with_capacity(raw.len());
    let mut at = 0;

    while at < text.len() {
        let end = match (text[at], text.get(at + 1)) {
            ('/', Some('/')) => find(&text, at, |b, i| b[i] == '\n'),
            ('/', Some('*')) => block_comment_end(&text, at),
            ('r', Some('"' | '#')) if !ends_in_name(&out) => raw_string_end(&text, at),
            ('"', _) => quoted_end(&text, at, '"'),
            ('\'', _) => char_end(&text, at),
            _ => at,
        };

        if end == at {
            out.push(text[at]);
            at += 1;
        } else {
            out.extend(text[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

fn ends_in_name(out: &str) -> bool {
    // `br"…"` is a raw string, too.
    let out = out.strip_suffix('b').unwrap_or(out);
    out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn find(text: &[char], from: usize, stop: impl Fn(&[char], usize) -> bool) -> usize {
    (from..text.len()).find(|&i| stop(text, i)).unwrap_or(text.len())
}

fn block_comment_end(text: &[char], from: usize) -> usize {
    let closes = |t: &[char], i: usize| t[i] == '*' && t.get(i + 1) == Some(&'/');
    find(text, from + 2, closes).saturating_add(2).min(text.len())
}

fn quoted_end(text: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// The end of `r"…"` or `r#"…"#`; `from` itself when it is a raw name (`r#type`).
fn raw_string_end(text: &[char], from: usize) -> usize {
    let hashes = text[from + 1..].iter().take_while(|c| **c == '#').count();
    if text.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let closes =
        |t: &[char], i: usize| t[i] == '"' && (1..=hashes).all(|n| t.get(i + n) == Some(&'#'));
    (find(text, from + 2 + hashes, closes) + 1 + hashes).min(text.len())
}

/// The end of `'x'` or `'\n'`; `from` itself for a lifetime.
fn char_end(text: &[char], from: usize) -> usize {
    match (text.get(from + 1), text.get(from + 2)) {
        (Some('\\'), _) => quoted_end(text, from, '\''),
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

/// The code without what stands under `#[cfg(test)]`; lines stay where they are.
pub fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;

    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let open = item.find(['{', ';']).unwrap_or(item.len());
        let end = if item[open..].starts_with('{') { open + closing(&item[open..]) } else { open };
        rest = item.get(end + 1..).unwrap_or_default();
        out.extend(item[..item.len() - rest.len()].chars().filter(|c| *c == '\n'));
    }

    out.push_str(rest);
    out
}

/// Where the brace that `code` begins with is closed.
fn closing(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Names, `::`, and single characters.
pub fn tokens(code: &str) -> Vec<String> {
    tokens_with_lines(code).into_iter().map(|(token, _)| token).collect()
}

/// The same, each with its line, counted from 0.
pub fn tokens_with_lines(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (code, 0);

    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };

        if !first.is_whitespace() {
            found.push((rest[..length].to_owned(), line));
        }
        line += usize::from(first == '\n');
        rest = &rest[length..];
    }
    found
}

/// A function with a body. Lines are counted from 0.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// The line of its name.
    pub line: usize,
    /// The lines between its braces, without those of the braces.
    pub body: std::ops::Range<usize>,
}

/// All functions of a file whose words are blanked out.
pub fn functions(code: &str) -> Vec<Function> {
    let tokens = tokens_with_lines(code);
    let mut found = Vec::new();

    for (at, pair) in tokens.windows(2).enumerate() {
        let [(keyword, _), (name, line)] = pair else { continue };
        // `fn(u8) -> u8` is a type.
        if keyword != "fn" || name == "(" {
            continue;
        }
        if let Some((open, close)) = body(&tokens, at + 2) {
            let body = (open + 1).min(close)..close;
            found.push(Function { name: name.clone(), line: *line, body });
        }
    }
    found
}

/// The lines of the braces of a body whose signature goes on at `from`; `None` for a declaration.
fn body(tokens: &[(String, usize)], from: usize) -> Option<(usize, usize)> {
    let mut round = 0_i32;
    let open = tokens[from..].iter().position(|(token, _)| {
        round += match token.as_str() {
            "(" | "[" => 1,
            ")" | "]" => -1,
            _ => 0,
        };
        round == 0 && (token == "{" || token == ";")
    })?;
    let open = from + open;
    if tokens[open].0 == ";" {
        return None;
    }

    let mut depth = 0_i32;
    let close = tokens[open..].iter().position(|(token, _)| {
        depth += match token.as_str() {
            "{" => 1,
            "}" => -1,
            _ => 0,
        };
        depth == 0
    })?;
    Some((tokens[open].1, tokens[open + close].1))
}

/// The types that a file defines, with their lines: structs, enums, unions, traits and aliases.
/// Types of a trait (`type Item = …`) are names in it, not in the crate.
pub fn types(code: &str) -> Vec<(String, usize)> {
    let tokens = tokens_with_lines(code);
    let mut found = Vec::new();
    // For each open brace: whether it is the body of a trait or an `impl`.
    let mut inside = Vec::new();
    let mut item_begins = 0;

    for (at, (token, line)) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => {
                inside.push(is_impl_or_trait(&tokens[item_begins..at]));
                item_begins = at + 1;
            }
            "}" => {
                inside.pop();
                item_begins = at + 1;
            }
            ";" => item_begins = at + 1,
            "struct" | "enum" | "union" | "trait" => {
                found.extend(type_name(&tokens, at + 1, *line))
            }
            "type" if inside.last() != Some(&true) => {
                found.extend(type_name(&tokens, at + 1, *line))
            }
            // The macro of `api::text`: its first argument is the name of a type.
            "checked_text" if tokens.get(at + 2).is_some_and(|(token, _)| token == "(") => {
                found.extend(type_name(&tokens, at + 3, *line))
            }
            _ => {}
        }
    }
    found
}

fn type_name(tokens: &[(String, usize)], at: usize, line: usize) -> Option<(String, usize)> {
    let (name, _) = tokens.get(at)?;
    name.starts_with(|c: char| c.is_uppercase()).then(|| (name.clone(), line))
}

fn is_impl_or_trait(item: &[(String, usize)]) -> bool {
    let has = |word: &str| item.iter().any(|(token, _)| token == word);
    (has("impl") || has("trait")) && !has("fn")
}

/// The fields and functions of a type that a file defines, those of its traits left out.
pub fn members(code: &str, owner: &str) -> Vec<String> {
    let tokens = tokens_with_lines(code);
    let mut found = Vec::new();

    for (at, pair) in tokens.windows(3).enumerate() {
        let [(keyword, _), (name, _), (brace, _)] = pair else { continue };
        if name != owner || brace != "{" || !matches!(keyword.as_str(), "struct" | "impl") {
            continue;
        }

        let mut depth = 0_i32;
        for here in at + 2..tokens.len() {
            match tokens[here].0.as_str() {
                "{" | "(" => depth += 1,
                "}" | ")" => depth -= 1,
                "fn" if depth == 1 => found.push(tokens[here + 1].0.clone()),
                ":" if depth == 1 && keyword == "struct" => found.push(tokens[here - 1].0.clone()),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}
