//! A new kind of record is looked at wherever kinds of records are distinguished: no arm for "all
//! others".

use super::rust::{tokens_with_lines, without_words};
use super::{Source, report, sources};

#[test]
fn no_arm_takes_all_other_records() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.name.starts_with("record/")) {
        let of_file = |(line, what): (usize, &str)| format!("src/{}:{line} {what}", source.name);
        broken.extend(found(source).into_iter().map(of_file));
    }

    report(
        "A kind of record that is added later must not fall into an arm that was written before: \
         outside src/record/ a `match` over records lists the others by name instead of `_`, or \
         asks the record (`delivery_facts`, `held_event`). `if let`, `let … else` and `matches!` \
         may ask about one kind, which is all that they are about, but not about several.",
        broken,
    );
}

/// A token with its line, counted from 0.
type Token = (String, usize);

/// The places where a file has an arm for all other records, with lines counted from 1.
fn found(source: &Source) -> Vec<(usize, &'static str)> {
    let tokens = tokens_with_lines(&source.code);
    let mut found = Vec::new();

    for (at, (token, line)) in tokens.iter().enumerate() {
        let what = match token.as_str() {
            "match" if has_catch_all(&tokens, at) => "has an arm for all other records",
            "let" if kinds(pattern_of_let(&tokens[at + 1..])) > 1 => "asks about several kinds",
            "matches" if kinds(in_brackets(&tokens[at + 1..])) > 1 => "asks about several kinds",
            _ => continue,
        };
        found.push((line + 1, what));
    }
    found
}

/// How often a kind of record is named.
fn kinds(tokens: &[Token]) -> usize {
    tokens.windows(2).filter(|pair| pair[0].0 == "Record" && pair[1].0 == "::").count()
}

/// From behind `let` to its `=`.
fn pattern_of_let(tokens: &[Token]) -> &[Token] {
    let end = tokens.iter().position(|(token, _)| matches!(token.as_str(), "=" | ";"));
    &tokens[..end.unwrap_or(tokens.len())]
}

/// What stands in the brackets of `!(…)`, which come next.
fn in_brackets(tokens: &[Token]) -> &[Token] {
    let opens = tokens.len() > 1 && tokens[0].0 == "!" && tokens[1].0 == "(";
    if opens { &tokens[2..group_end(tokens, 1)] } else { &[] }
}

/// Whether the `match` at `at` has arms for kinds of records, and one for whatever else there is.
fn has_catch_all(tokens: &[Token], at: usize) -> bool {
    let Some(open) = body(tokens, at + 1) else { return false };
    let patterns = patterns(&tokens[open + 1..group_end(tokens, open)]);

    // What stands around the record: `Ok(`, `Ok(Some(`, `(` of a pair, or nothing.
    let around = patterns.iter().find_map(|pattern| {
        let record = pattern.windows(2).position(|pair| pair == ["Record", "::"])?;
        Some(&pattern[..record])
    });
    around.is_some_and(|around| patterns.iter().any(|pattern| takes_all(pattern, around)))
}

/// Whether a pattern takes every record in this place, or everything that the place is in.
fn takes_all(pattern: &[&str], around: &[&str]) -> bool {
    (0..=around.len()).any(|depth| {
        let Some((name, rest)) = pattern.get(depth..).and_then(<[_]>::split_first) else {
            return false;
        };
        let is_name = name.starts_with(|c: char| c.is_lowercase() || c == '_');
        let is_whole = rest.first().is_none_or(|next| matches!(*next, ")" | "," | "if"));
        pattern[..depth] == around[..depth] && is_name && is_whole
    })
}

/// Where the body of a `match` opens whose subject begins at `from`.
fn body(tokens: &[Token], from: usize) -> Option<usize> {
    let mut at = from;
    while at < tokens.len() && tokens[at].0 != "{" {
        at = if matches!(tokens[at].0.as_str(), "(" | "[") { group_end(tokens, at) } else { at };
        at += 1;
    }
    (at < tokens.len()).then_some(at)
}

/// The patterns of the arms of a `match`, guards with them.
fn patterns(arms: &[Token]) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    let mut at = 0;

    while at < arms.len() {
        let begin = at;
        while at + 1 < arms.len() && !(arms[at].0 == "=" && arms[at + 1].0 == ">") {
            at = if is_open(&arms[at].0) { group_end(arms, at) } else { at };
            at += 1;
        }
        let pattern = arms[begin..at.min(arms.len())].iter().map(|(token, _)| token.as_str());
        found.push(pattern.skip_while(|token| *token == "|" || *token == ",").collect());

        // The arm itself: a block, behind which the next pattern may follow at once, or all up to
        // the next comma.
        at += 2;
        if arms.get(at).is_some_and(|(token, _)| token == "{") {
            at = group_end(arms, at) + 1;
            if arms.get(at).is_some_and(|(token, _)| !matches!(token.as_str(), "." | "?")) {
                continue;
            }
        }
        while at < arms.len() && arms[at].0 != "," {
            at = if is_open(&arms[at].0) { group_end(arms, at) } else { at };
            at += 1;
        }
    }
    found
}

fn is_open(token: &str) -> bool {
    matches!(token, "(" | "[" | "{")
}

/// Where the bracket at `at` is closed.
fn group_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (place, (token, _)) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 1 => return place,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    tokens.len()
}

#[test]
fn the_reader_of_arms_is_not_fooled() {
    let lines = |code: &str| {
        let source =
            Source { name: "admin/x.rs".into(), raw: String::new(), code: without_words(code) };
        found(&source).into_iter().map(|(line, _)| line).collect::<Vec<_>>()
    };

    for all_others in [
        "match r { Record::A { x, .. } => x, _ => 0 }",
        "match r { Record::A { x } if x > 1 => { f(|y| y) } other => g(other), }",
        "match log.read(seq)? { Ok(Some(Record::A(_))) => 1, Ok(Some(_)) => 2, Err(e) => 3 }",
        "match read(|x| { x }) { Ok(Some(Record::A(_))) => 1, _ => 2 }",
        "match (r, state) { (Record::A { id, .. }, State::Dead) => *id, (r, _) => r.id() }",
        "match r { Record::A => match x { Some(_) => 1, _ => 2 }, Record::B => 3, _ if y => 4 }",
        "if matches!(r, Record::A | Record::B(_)) {}",
        "let (Record::A(x) | Record::B(x)) = r else { return };",
    ] {
        assert_eq!(lines(all_others), [1], "{all_others}");
    }
    for each in [
        "match r { Record::A { x, .. } => x, Record::B | Record::C(_) => 0 }",
        "match r { Record::A => match x { Some(_) => 1, _ => 2 }, Record::B => 3 }",
        "match r { Ok(Some(Record::A)) => 1, Ok(Some(Record::B)) => 2, Err(e) => 3 }",
        "match x { Kind::A => Record::A, _ => Record::B }",
        "if let Some(Record::A { x, .. }) = r { f(x) }",
        "matches!(r, Record::A { .. }) && other",
    ] {
        assert_eq!(lines(each), [0; 0], "{each}");
    }
    assert_eq!(lines("fn f() {\n match r {\n Record::A => 1,\n _ => 2 } }"), [2]);
}
