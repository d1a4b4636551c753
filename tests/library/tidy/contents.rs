//! What every file has to contain, and what none may.

use std::path::Path;

use super::{files, occurrences, report, sources};

#[test]
fn nothing_is_left_undone() {
    let mut broken = Vec::new();
    for source in sources() {
        for word in ["todo!", "dbg!", "unimplemented!"] {
            if occurrences(&source.code, word) > 0 {
                broken.push(format!("src/{} has {word}", source.name));
            }
        }
    }
    report(
        "Unfinished code does not stand in the main line: finish it, or refuse with a typed error.",
        broken,
    );
}

#[test]
fn every_ignored_test_says_why() {
    let mut broken = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tests", "benches"] {
        for path in
            files(&root.join(folder)).iter().filter(|p| p.extension().is_some_and(|e| e == "rs"))
        {
            let text = std::fs::read_to_string(path).expect("a readable file");
            let bare = text
                .lines()
                .filter(|l| l.trim_start().starts_with(concat!("#[ign", "ore]")))
                .count();
            if bare > 0 {
                broken.push(path.strip_prefix(root).unwrap_or(path).display().to_string());
            }
        }
    }
    report("A test that is left out says why and who runs it: #[ignore = \"…\"].", broken);
}

#[test]
fn every_file_opens_with_its_manual() {
    let missing = sources()
        .iter()
        .filter(|s| !s.raw.starts_with("//!"))
        .map(|s| format!("src/{}", s.name))
        .collect();
    report("Every file opens with a line that says what it is (//! …).", missing);
}

#[test]
fn no_decision_depends_on_the_order_of_a_hash_table() {
    let mut broken = Vec::new();
    for source in sources().into_iter().filter(|source| source.name.starts_with("queue/")) {
        for what in ["HashMap", "HashSet"] {
            if occurrences(&source.code, what) > 0 {
                broken.push(format!("src/{} has a {what}", source.name));
            }
        }
    }
    report(
        "The queue decides alike in every process: the order of a hash table is another one each \
         time. Take a BTreeMap or a BTreeSet.",
        broken,
    );
}

/// What a proof is worth has to be known by whoever reads or changes a scheme: each file says it in
/// one paragraph.
#[test]
fn every_scheme_says_what_it_proves() {
    const QUESTIONS: &[(&str, &[&str])] = &[
        (
            "who could make this proof",
            &["whoever", "anybody", "alone", "issuer", "google", "amazon", "sendgrid", "travis ci"],
        ),
        ("what names the recipient", &["recipient"]),
        ("what is signed", &["signed"]),
        (
            "what is not, and is therefore not trusted",
            &["trusted", "not read", "no key", "not a key"],
        ),
        ("what a repetition repeats", &["repeat", "repetition"]),
        (
            "what different deliveries share",
            &["share", "the same", "two ", "another body", "different"],
        ),
    ];
    let mut broken = Vec::new();

    let mut schemes = 0;
    for source in
        sources().iter().filter(|source| source.code.contains("pub(super) const SCHEME: Scheme ="))
    {
        schemes += 1;
        let manual = source.raw.lines().take_while(|line| line.starts_with("//!"));
        let paragraph: Vec<&str> = manual
            .skip_while(|line| !line.contains("**What it proves.**"))
            .take_while(|line| *line != "//!")
            .map(|line| line.trim_start_matches("//!").trim())
            .collect();
        let paragraph = paragraph.join(" ").to_lowercase();

        let open = QUESTIONS
            .iter()
            .filter(|(_, words)| !words.iter().any(|word| paragraph.contains(word)));
        broken.extend(open.map(|(question, _)| format!("{}: {question}", source.name)));
    }

    assert_eq!(schemes, 30, "the files of the schemes");
    report("A scheme's file says in a paragraph `**What it proves.**`:", broken);
}
