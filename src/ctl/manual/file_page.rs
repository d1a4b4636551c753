//! `hookbox.toml(5)`: every key, from the example file, which a test compares with
//! `config::Config`.

use std::io;

use clap_mangen::roff::{Roff, bold, roman};

/// The example file.
const EXAMPLE: &str = include_str!("../../../packaging/hookbox.toml");

/// What stands there before the keys.
const BEGIN: &[(&str, &[&str])] = &[
    ("NAME", &["hookbox.toml - configuration of hookboxd"]),
    ("SYNOPSIS", &["/etc/hookbox/hookbox.toml, /etc/hookbox/conf.d/*.toml"]),
    (
        "DESCRIPTION",
        &[
            "The file holds what belongs to the process: where it listens, where it keeps its \
             data, how much it may take, whom it trusts. Sources and endpoints are not in it: \
             they are created with hookboxctl(1) while the daemon runs.",
            "It is written in TOML. Every key has a default, and the file itself may be missing. \
             Options and environment variables of hookboxd(8) override it. An unknown key is an \
             error, and an error names the file and the line.",
            "Durations are written as \"15s\", \"1h 30m\" or \"7d\", sizes as \"64MiB\" or as a \
             number of bytes, rates as \"50/s\", \"100/m\" or \"1000/h\".",
            "SIGHUP reads the configuration again, all of it or nothing. What cannot change while \
             hookboxd runs is refused then, and the log says so.",
        ],
    ),
];

const END: &[(&str, &[&str])] = &[
    (
        "DROP-INS",
        &[
            "hookboxd --config /etc/hookbox/hookbox.toml reads this file, which may be missing, \
             and then all files *.toml of /usr/lib/hookbox/conf.d, /run/hookbox/conf.d and \
             /etc/hookbox/conf.d: the folders in this order, the files of a folder by their \
             names. A later value replaces an earlier one. A file replaces one of the same name \
             in an earlier folder as a whole; an empty one, or a link to /dev/null, leaves it out.",
            "With another file, or without --config, no drop-ins are read. hookboxd --config \
             FILE --check --print shows every value and where it comes from.",
        ],
    ),
    ("SEE ALSO", &["hookboxd(8), hookboxctl(1), hookbox(7)"]),
];

/// The page.
pub(super) fn text(manual: &str) -> io::Result<Vec<u8>> {
    let mut roff = Roff::default();
    let source = format!("hookbox {}", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["hookbox.toml", "5", "", source.as_str(), manual]);

    BEGIN.iter().for_each(|part| section(&mut roff, part));
    roff.control("SH", ["KEYS"]);
    keys(&mut roff);
    END.iter().for_each(|part| section(&mut roff, part));

    let mut text = Vec::new();
    roff.to_writer(&mut text)?;
    Ok(text)
}

fn section(roff: &mut Roff, (heading, paragraphs): &(&str, &[&str])) {
    roff.control("SH", [*heading]);
    for (at, paragraph) in paragraphs.iter().enumerate() {
        if at > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(*paragraph)]);
    }
}

/// Each key with its default or example, and what stands behind it.
fn keys(roff: &mut Roff) {
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            roff.control("SS", [line]);
            continue;
        }
        let (key, is_example) = match line.strip_prefix("# ") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let Some((assignment, meaning)) = key.split_once("  # ").or_else(|| key.split_once(" # "))
        else {
            continue;
        };
        let assignment = assignment.trim();
        if !assignment.contains(" = ") {
            continue;
        }

        roff.control("TP", []);
        roff.text([bold(assignment)]);
        let meaning = meaning.trim();
        let end = if is_example { " (an example; not set by default)." } else { "." };
        roff.text([roman(format!("{meaning}{end}"))]);
    }
}
