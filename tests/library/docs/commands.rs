//! Commands in the documents are commands of the programs: each is parsed by the definitions that
//! the programs use.
//!
//! The rule of placeholders: `NAME`, `$NAME`, `$(…)` and `…` stand for a text. Where an option
//! wants a number or a duration, the document shows one.

use clap::Parser;
use clap::error::ErrorKind;
use hookbox::config::args::Args;
use hookbox::ctl::args::Cli;

use super::page::{self, Block};
use super::report;

#[test]
fn commands_in_the_documents_parse() {
    let mut broken = Vec::new();
    let mut tried = 0;
    for page in page::all() {
        for block in page.blocks() {
            for (number, line) in script(&block) {
                for words in simple_commands(&line) {
                    let Some(result) = parse(&words) else { continue };
                    tried += 1;
                    if let Err(what) = result {
                        broken.push(format!("{}:{number}: {}: {what}", page.name, words.join(" ")));
                    }
                }
            }
        }
    }
    assert!(tried > 120, "only {tried} commands were found");
    report("Every command that a document shows is one that the programs take.", &broken);
}

/// Parses a command of ours; `None` for others.
fn parse(words: &[String]) -> Option<Result<(), String>> {
    let program = words.first()?.rsplit('/').next()?;
    let error = match program {
        "hookboxctl" => Cli::try_parse_from(words).err(),
        "hookboxd" => Args::try_parse_from(words).err(),
        #[cfg(feature = "nats")]
        "hookbox-nats" => hookbox::nats::args::BridgeArgs::try_parse_from(words).err(),
        _ => return None,
    };
    let failure = error.filter(|error| {
        !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
    });
    let first_line =
        |error: clap::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    Some(failure.map_or(Ok(()), |error| Err(first_line(error))))
}

/// The lines of a shell block that are commands, with continued lines joined and here-documents
/// left out.
fn script(block: &Block) -> Vec<(usize, String)> {
    let is_console = match block.language.as_str() {
        "sh" | "bash" => false,
        "console" => true,
        _ => return Vec::new(),
    };

    let mut found: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    let mut ends: Option<String> = None;
    for (at, line) in block.lines.iter().enumerate() {
        if let Some(end) = &ends {
            if line == end {
                ends = None;
            }
            continue;
        }

        let line = match line.strip_prefix("$ ") {
            Some(command) if is_console => command,
            _ if is_console && !continues => continue,
            _ => line,
        };
        match found.last_mut() {
            Some((_, open)) if continues => open.push_str(line.trim_start()),
            _ => found.push((block.number + at, line.to_owned())),
        }

        let (_, open) = found.last_mut().expect("a line was added");
        continues = open.ends_with('\\') || open.ends_with('|') || open.ends_with("&&");
        if open.ends_with('\\') {
            open.pop();
        }

        let here = open.rsplit_once("<<").map(|(_, word)| word.trim().trim_matches('\''));
        ends = here
            .filter(|word| !word.is_empty() && word.chars().all(char::is_alphabetic))
            .map(str::to_owned);
    }

    found
}

/// The simple commands of a line of shell, each as its words: without assignments, redirections and
/// `sudo`.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut lexer =
        Lexer { rest: line.chars().collect(), at: 0, commands: Vec::new(), words: Vec::new() };
    lexer.run();
    lexer.commands
}

struct Lexer {
    rest: Vec<char>,
    at: usize,
    commands: Vec<Vec<String>>,
    words: Vec<String>,
}

impl Lexer {
    fn run(&mut self) {
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' => self.at += 1,
                '#' => break,
                '|' | '&' | ';' | '(' | ')' | '{' | '}' => {
                    self.at += 1;
                    self.end();
                }
                '>' | '<' => {
                    while self.peek(0).is_some_and(|c| c == '>' || c == '<') {
                        self.at += 1;
                    }
                    if self.peek(0) == Some('&') {
                        self.at += 2;
                        continue;
                    }

                    // The word behind it is a file's name.
                    while self.peek(0) == Some(' ') {
                        self.at += 1;
                    }
                    let _ = self.word();
                }
                _ => {
                    let word = self.word();
                    let is_digit = word.len() == 1 && word.chars().all(|c| c.is_ascii_digit());
                    let redirects = is_digit && self.peek(0).is_some_and(|c| c == '>');
                    if !redirects {
                        self.words.push(word);
                    }
                }
            }
        }

        self.end();
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    fn end(&mut self) {
        let words = std::mem::take(&mut self.words);
        let is_prefix = |word: &String| {
            let assigns = word.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            });
            assigns || word == "sudo"
        };
        let words: Vec<String> = words.into_iter().skip_while(is_prefix).collect();
        if !words.is_empty() {
            self.commands.push(words);
        }
    }

    /// One word, with what the shell would put in stood for by a text.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '|' | '&' | ';' | ')' | '>' | '<' => break,
                '\'' => {
                    self.at += 1;
                    while let Some(c) = self.peek(0).filter(|c| *c != '\'') {
                        word.push(c);
                        self.at += 1;
                    }
                    self.at += 1;
                }
                '"' => {
                    self.at += 1;
                    while let Some(c) = self.peek(0).filter(|c| *c != '"') {
                        match c {
                            '$' => word.push_str(&self.expansion()),
                            '\\' => {
                                self.at += 1;
                                word.extend(self.peek(0));
                                self.at += 1;
                            }
                            c => {
                                word.push(c);
                                self.at += 1;
                            }
                        }
                    }
                    self.at += 1;
                }
                '$' => word.push_str(&self.expansion()),
                c => {
                    word.push(c);
                    self.at += 1;
                }
            }
        }

        word
    }

    /// `$NAME`, `${…}` or `$(…)`; the commands inside the last are commands as well.
    fn expansion(&mut self) -> String {
        self.at += 1;
        let (open, close) = match self.peek(0) {
            Some('(') => ('(', ')'),
            Some('{') => ('{', '}'),
            _ => {
                while self.peek(0).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                    self.at += 1;
                }
                return "x".to_owned();
            }
        };

        let start = self.at + 1;
        let mut depth = 0;
        while let Some(c) = self.peek(0) {
            depth += i32::from(c == open) - i32::from(c == close);
            self.at += 1;
            if depth == 0 {
                break;
            }
        }

        if open == '(' {
            let inside: String =
                self.rest[start..self.at.saturating_sub(1).max(start)].iter().collect();
            self.commands.extend(simple_commands(&inside));
        }
        "x".to_owned()
    }
}

#[test]
fn the_reader_of_shell_is_not_fooled() {
    let words =
        |line: &str| simple_commands(line).iter().map(|words| words.join("~")).collect::<Vec<_>>();

    assert_eq!(
        words("A=1 sudo hookboxctl log head > /tmp/head 2>&1 # hookboxctl no"),
        ["hookboxctl~log~head"]
    );
    assert_eq!(words("x --a 'b c' \"d $E\" | y; z"), ["x~--a~b c~d x", "y", "z"]);
    assert_eq!(
        words("D=$(hookboxctl status | head -1); echo \"$(y)\""),
        ["hookboxctl~status", "head~-1", "y", "echo~x"]
    );

    let language = "console".to_owned();
    let lines = ["$ a \\", "    b", "output", "$ cat <<'END'", "hookboxctl", "END", "$ c"]
        .map(str::to_owned)
        .to_vec();
    let block = Block { language, number: 5, lines };
    assert_eq!(
        script(&block),
        [(5, "a b".to_owned()), (8, "cat <<'END'".to_owned()), (11, "c".to_owned())],
        "lines of a block"
    );
}
