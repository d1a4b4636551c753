mod rfc9535;
mod texts;

use bytes::Bytes;

use super::{Filter, FilterInput, Steps, Stop};
use crate::model::{Header, limits};

fn headers() -> Vec<Header> {
    vec![
        Header::new("x-github-event", "push"),
        Header::new("content-type", "application/json"),
        Header::new("x-twice", "first"),
        Header::new("x-twice", "second"),
    ]
}

/// The line of a request whose query has a secret, which was struck out where it came in.
const LINE: &str = "POST /in/github?tenant=7&tag=a&tag=b%20c&q=x+y&empty&n=10&key=…";

fn holds_within(expression: &str, body: &str, steps: u64) -> Result<bool, Stop> {
    let (headers, body) = (headers(), Bytes::from(body.to_owned()));
    let filter = Filter::compile(expression).unwrap_or_else(|why| panic!("{why}"));
    filter.holds(&FilterInput::new("push", "github", &headers, LINE, &body), &mut Steps::new(steps))
}

fn holds(expression: &str, body: &str) -> bool {
    holds_within(expression, body, limits::FILTER_STEPS).expect("it can be evaluated")
}

fn is_refused(expression: &str) -> String {
    match Filter::compile(expression) {
        Ok(_) => panic!("{expression} was taken"),
        Err(why) => why,
    }
}

const BODY: &str = r#"{"action":"opened","n":7,"big":8202522731445525542,"list":[1,{"k":"a"},[2,3],"x"],"none":null,
    "yes":true,"nested":{"a":{"b":"deep"}},"e":"","o1":{"a":1,"b":[1.0]},"o2":{"b":[1],"a":1e0},"t":"a\u0062c"}"#;

const QUERIES: &[(&str, bool)] = &[
    ("@.body.action == 'opened'", true),
    ("@.body['action'] == \"opened\"", true),
    ("$.body.action == 'opened'", true),
    ("$[0].body.action == 'opened'", true),
    ("@['body'] ['nested'] .a\n.b == 'deep'", true),
    ("@.body.action", true),
    ("@.body.missing", false),
    ("!@.body.missing", true),
    ("@.body.none", true),
    ("@.body.none == null", true),
    ("@.body.missing == null", false),
    ("@.body.missing == @.body.missing2", true),
    ("@.body.list[0] == 1", true),
    ("@.body.list[-1] == 'x'", true),
    ("@.body.list[-5]", false),
    ("@.body.list[4]", false),
    ("@.body.list[1].k == 'a'", true),
    ("@.body.list[*].k", true),
    ("@.body.list[*]['k', 'z']", true),
    ("@.body.list[*].z", false),
    ("@.body.list[2][0:2]", true),
    ("@.body.list[3:]", true),
    ("@.body.list[4:]", false),
    ("@.body.list[::-1]", true),
    ("@.body.list[5:1:-1]", true),
    ("@.body.list[0:2:0]", false),
    ("count(@.body.list[*]) == 4", true),
    ("count(@.body.list[::2]) == 2", true),
    ("count(@.body.list[::-2]) == 2", true),
    ("count(@.body.list[-2:]) == 2", true),
    ("count(@.body.list[3:0:-2]) == 2", true),
    ("value(@.body.list[-1:]) == 'x'", true),
    ("value(@.body.list[::-3]) == 'x'", false),
    ("count(@.body.list[0,0]) == 2", true),
    ("count(@.*) == 5", true),
    ("length(@) == 5", true),
    ("length(@.body.list) == 4", true),
    ("length(@.body.t) == 3", true),
    ("length(@.body.n) == 0", false),
    ("length(@.body.missing) == length(@.body.n)", true),
    ("value(@.body.list[0,1]) == 1", false),
    ("value(@.body.nested.*.b) == 'deep'", true),
    ("@.body.t == 'abc'", true),
    ("@.body.o1 == @.body.o2", true),
    ("@.body.o1 != @.body.list", true),
    ("@.body.yes == true && @.body.n > 6 && @.body.n <= 7", true),
    ("@.body.n < 'a' || @.body.action < 'p'", true),
    ("!(@.body.n > 7) && (@.type == 'push' || @.missing)", true),
    ("@.source == 'github' && @.type == 'push'", true),
    ("@.body.yes < true", false),
    ("@.body.yes <= true", true),
    ("@", true),
    ("@.body.e == ''", true),
    ("'\\u0061\\ud83d\\ude00' == \"a😀\"", true),
    ("@..b", true),
    ("@.body..b", true),
    ("@.body ..['z', 'k']", true),
    ("@..z", false),
    ("@..[3]", true),
    ("count(@.body..b) == 3", true),
    ("count(@..*) == 43", true),
    ("value(@..k) == 'a'", true),
    ("@.body.list[?@.k == 'a']", true),
    ("@.body.list[?@.k == 'b']", false),
    ("@.body.list[?@ > 0]", true),
    ("@.body.list[?@[?@ == 3]]", true),
    ("@.body.list[?@[?@ == $.body.n]]", false),
    ("@.body.list[?@ == $.body.list[0]]", true),
    ("@.body[?@.b == 'deep'].x", false),
    ("@.body[ ? @.a.b == 'deep' ].a", true),
    ("@.headers[?@ == 'push']", true),
    ("@[?@ == 'github']", true),
    ("count(@.body.list[?length(@) > 0, ?@ == 1]) == 4", true),
];

#[test]
fn queries_find_what_rfc_9535_says() {
    for (expression, expected) in QUERIES {
        assert_eq!(holds(expression, BODY), *expected, "{expression}");
    }
}

#[test]
fn integers_are_compared_exactly() {
    for (expression, body, expected) in [
        ("@.body.big == 8202522731445525542", BODY, true),
        ("@.body.big == 8202522731445525543", BODY, false),
        ("@.body.big < 8202522731445525543", BODY, true),
        ("@.body.id == 18446744073709551616", r#"{"id":18446744073709551616}"#, true),
        ("@.body.id == 18446744073709551616", r#"{"id":18446744073709551617}"#, false),
        ("@.body.id == 18446744073709551615", r#"{"id":18446744073709551616}"#, false),
        ("@.body.a == @.body.b", r#"{"a":9007199254740993,"b":9007199254740992}"#, false),
        ("@.body.a == @.body.b", r#"{"a":[9007199254740993],"b":[9007199254740992]}"#, false),
        ("@.body.a == 1e2", r#"{"a":100.0}"#, true),
        ("@.body.a == -0", r#"{"a":0}"#, true),
    ] {
        assert_eq!(holds(expression, body), expected, "{expression} {body}");
    }
}

#[test]
fn names_of_headers_match_in_any_case() {
    for expression in [
        "@.headers['X-GitHub-Event'] == 'push'",
        "@.headers['x-github-event'] == 'push'",
        "@['headers'][\"X-GITHUB-EVENT\", 'none']",
        "match(@.headers['X-GitHub-Event'], 'pu.*')",
        "@.headers['X-Twice'] == 'second'",
        "count(@.headers.*) == 4",
    ] {
        assert!(holds(expression, BODY), "{expression}");
    }
    assert!(!holds("@.body['Action'] == 'opened'", BODY), "names of fields are what they are");
}

#[test]
fn the_query_is_an_object_of_texts_and_of_lists_where_a_name_is_repeated() {
    for (expression, expected) in [
        ("@.query.tenant == '7'", true),
        ("@.query.tenant == 7", false),
        ("@.query['n'] == '10'", true),
        ("@.query.tag[0] == 'a' && @.query.tag[1] == 'b c'", true),
        ("@.query.tag[?@ == 'b c']", true),
        ("@.query.tag == 'a'", false),
        ("length(@.query.tag) == 2 && length(@.query) == 6", true),
        ("@.query.q == 'x y'", true),
        ("@.query.empty == ''", true),
        ("@.query.Tenant", false),
        ("!@.query.none", true),
        ("match(@.query.tenant, '[0-9]+')", true),
        ("@.query.key == '…'", true),
        ("count(@.query.*) == 6", true),
        ("@..tenant", true),
        ("@..tag[1]", true),
        ("@[?@.tenant == '7']", true),
        ("$.query.tenant == @['query']['tenant']", true),
    ] {
        assert_eq!(holds(expression, "{}"), expected, "{expression}");
    }

    let body = Bytes::new();
    for (line, expected) in
        [("", true), ("POST /in/a", true), ("POST /in/a?", true), ("POST /in/a?x", false)]
    {
        let facts = FilterInput::new("t", "a", &[], line, &body);
        let filter = Filter::compile("@.query && count(@.query.*) == 0").expect("a filter");
        assert_eq!(filter.holds(&facts, &mut Steps::new(1000)), Ok(expected), "{line:?}");
    }
    let long = format!("POST /in/a?{}", "a=1&".repeat(2000));
    let (facts, filter) = (
        FilterInput::new("t", "a", &[], &long, &body),
        Filter::compile("@.query.a").expect("a filter"),
    );
    assert_eq!(
        filter.holds(&facts, &mut Steps::new(4000)),
        Err(Stop::OutOfSteps),
        "reading it takes steps"
    );
    assert_eq!(filter.holds(&facts, &mut Steps::new(40_000)), Ok(true));
}

const PATTERNS: &[(&str, bool)] = &[
    ("match(@.type, 'pu.*')", true),
    ("match(@.type, 'pu')", false),
    ("match(@.type, 'x|push')", true),
    ("match(@.type, 'push|x')", true),
    ("match(@.type, 'p|push')", true),
    ("search(@.type, 'us')", true),
    ("search(@.type, '^us')", false),
    ("search(@.type, 'sh$')", true),
    ("search(@.body.name, '\\\\d+')", true),
    (r"match(@.body.name, '\\p{Lu}\\w+ [0-9]{2}')", true),
    (r"match(@.body.name, '\\p{Lu}\\w+ [0-9]{3}')", false),
    ("search(@.body.name, '(?i)GRÜSSE|GRÜ')", true),
    (r"search(@.body.name, '\\bGr')", true),
    (r"search(@.body.name, '\\b4')", true),
    (r"search(@.body.name, 'r\\b')", false),
    ("match(@.body.lines, 'a.*b')", false),
    ("match(@.body.lines, 'a..b')", false),
    ("search(@.body.e, '')", true),
    ("match(@.body.e, 'a*')", true),
    ("match(@.body.e, 'a+')", false),
    (r"match(@.body.email, '[a-z.]+@[a-z]+\\.(com|org)')", true),
    ("search(@.body.email, '(a|b|[a-c]){2,3}\\\\.?b@')", false),
    ("search(@.body.email, 'a\\\\.b@exam(ple)?')", true),
    ("match(@.body.missing, 'a')", false),
    ("match(@.body, 'a')", false),
    ("match(@.type, @.body.p)", true),
    ("match(@.type, @.source)", false),
    ("match(@.type, 1)", false),
    ("search('a', @.type)", false),
];

#[test]
fn regular_expressions_match_whole_texts_or_search_in_them() {
    let body =
        r#"{"name":"Grüße 42","lines":"a\r\nb","e":"","email":"a.b@example.com","p":"p.*h"}"#;
    for (expression, expected) in PATTERNS {
        assert_eq!(holds(expression, body), *expected, "{expression}");
    }
}

const MALFORMED: &[&str] = &[
    "",
    " ",
    "@.a ==",
    "== 1",
    "] rm -rf",
    "@.a, *",
    "@.a]",
    "@.a][?@.b",
    "@.a, @.b",
    "@.a @.b",
    "1",
    "'a'",
    "true",
    "@.a == true == false",
    "!@.a == 1",
    "@.a[*] == 1",
    "@.a[0:1] == 1",
    "@.a && ",
    "(@.a",
    "@.a)",
    "@.a[?@.b, ?]",
    "@.a[?1]",
    "@..",
    "@.. a",
    "@...a",
    "@. a",
    "@.a[?@.b == 1] == 2",
    "@..a == 1",
    "@.a.\n.b",
    "@.a == 'x\ny'",
    "@.a == \"x\ty\"",
    "@.a == 'open",
    "@.a == '\\'",
    "@.a == '\\d'",
    "@.a == 'a\\\"'",
    "@.a == '\\ud83d'",
    "@.a == 01",
    "@.a == 1.",
    "@.a == .5",
    "@.a == +1",
    "@.a == opened",
    "@.a-b == 1",
    "@.1",
    "@.a[01]",
    "@.a[-0]",
    "@.a[9007199254740992]",
    "@.a[]",
    "@.a[0",
    "count(1) == 1",
    "count(@.a)",
    "length(@.a[*]) == 1",
    "match(@.a)",
    "match(@.a, 'b') == true",
    "match(@.a, 'b', 'c')",
    "nothing(@.a)",
    "Length(@.a) == 1",
    "@.a & @.b",
    "@.a = 1",
    "\u{feff}@.a",
];

#[test]
fn malformed_expressions_are_refused() {
    for wrong in MALFORMED {
        is_refused(wrong);
    }
    assert!(is_refused("@.a, *").contains("one logical expression"));

    for wrong in [
        "match(@.type, '[')",
        "search(@.body.a, \"a(\") && @.b == 1",
        "@.a == '(' && match( @.type , 'a{1000}{1000}')",
        "match(@.type, '*')",
        "match(@.a, '\\\\w{500}') || match(@.a, '\\\\w{500}')",
    ] {
        assert!(is_refused(wrong).contains("regular expression"), "{wrong}");
    }
    for fine in [
        "@.a == '..[?' && !(@.b > 1)",
        "@.a == '\\\\' && @.b == 'c'",
        "@.body.x[*].y",
        "@.a == '('",
        r"search(@.type, '\\d+\'x')",
        "\t@.a\r\n&& @.b ",
        "@.größe == 1",
        "! ( @.a )",
    ] {
        assert!(Filter::compile(fine).is_ok(), "{fine}: {:?}", Filter::compile(fine).err());
    }
}

#[test]
fn compiling_costs_no_more_than_the_text_is_long() {
    // Twenty levels took a million times as long as one.
    let nested = format!("@.b=='\\\\' && @.b{}{}", "[?@.b".repeat(20), "]".repeat(20));
    is_refused(&nested);

    // As deep as the limits allow.
    for deep in [
        format!("{}@.a{}", "(".repeat(limits::FILTER_DEPTH), ")".repeat(limits::FILTER_DEPTH)),
        format!(
            "{}@.a{} == 1",
            "length(".repeat(limits::FILTER_DEPTH),
            ")".repeat(limits::FILTER_DEPTH)
        ),
        format!("@.a{}", "[0]".repeat(300)),
        format!("@.a{}{}", "[?@.b".repeat(limits::FILTER_DEPTH), "]".repeat(limits::FILTER_DEPTH)),
        vec!["@.a"; 200].join("&&"),
        vec!["!@.a"; 100].join("  || "),
    ] {
        assert!(Filter::compile(&deep).is_ok(), "{deep}");
    }

    for too_deep in ["(", "!(", "length("] {
        let text = format!(
            "{}@.a{}",
            too_deep.repeat(limits::FILTER_DEPTH + 1),
            ")".repeat(limits::FILTER_DEPTH + 1)
        );
        assert!(is_refused(&text).contains("nested"), "{text}");
    }

    for endless in [
        "(".repeat(1024),
        "!".repeat(500),
        "@.a[".repeat(250),
        "'\\\\".repeat(300),
        "@.a || ".repeat(500),
    ] {
        is_refused(&endless);
    }
}

#[test]
fn everything_takes_steps_and_there_is_an_end() {
    let text =
        format!(r#"{{"text":"{}","list":[{}0]}}"#, "a".repeat(500_000), "0,".repeat(100_000));
    for costly in [
        "search(@.body.text, '[A-Za-z0-9+/]{16,40}==')",
        "search(@.body.text, '(a|aa|aaa|aaaa|aaaaa)*b')",
        "match(@.body.text, '(aa?a?a?a?)*b')",
        "@.body[*,*,*,*,*,*,*,*][*,*,*,*,*,*,*,*].x",
        "@.body.list[?@ == $.body.list[99999]].x",
        "count(@.body.list[*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*,*]) \
         == 1",
    ] {
        assert_eq!(
            holds_within(costly, &text, limits::FILTER_STEPS),
            Err(Stop::OutOfSteps),
            "{costly}"
        );
    }
    for cheap in [
        "search(@.body.text, 'b')",
        "@.body.list[99999] == 0",
        "length(@.body.text) > 1",
        "search(@.body.text, 'aab')",
    ] {
        assert!(holds_within(cheap, &text, limits::FILTER_STEPS).is_ok(), "{cheap}");
    }
    let named = format!(r#"{{"\u0061{}":1,"b":2}}"#, "a".repeat(900_000));
    assert_eq!(
        holds_within(&vec!["@.body.b == 3"; 60].join(" || "), &named, 3_000_000),
        Err(Stop::OutOfSteps)
    );

    // None of it is done when there are no steps for it.
    for expression in ["@.body.text", "@.headers.x", "match(@.type, 'a')", "@.type == 'push'"] {
        assert_eq!(holds_within(expression, &text, 2), Err(Stop::OutOfSteps), "{expression}");
    }
    assert_eq!(
        holds_within("match(@.type, @.body.p)", r#"{"p":"(a{100}){100}"}"#, 10_000),
        Err(Stop::OutOfSteps)
    );
    assert!(
        !holds("match(@.type, @.body.p)", r#"{"p":"(a{100}){100}"}"#),
        "too large a pattern matches nothing"
    );
}

#[test]
fn of_a_large_body_only_the_beginning_is_read() {
    let many =
        format!(r#"{{"ref":"main","n":[1,2],"list":[{}0],"end":"x"}}"#, "0,".repeat(600_000));
    let long = format!(r#"{{"ref":"main","n":[1,2],"text":"{}","end":"x"}}"#, "a".repeat(1 << 20));
    let steps = limits::FILTER_STEPS;

    for body in [&many, &long] {
        let (headers, bytes) = (headers(), Bytes::from(body.clone()));
        let facts = FilterInput::new("push", "github", &headers, LINE, &bytes);
        for (expression, expected) in [
            ("@.body.ref == 'main'", Ok(true)),
            ("@.body.ref == 'dev'", Ok(false)),
            ("@.body.n[1] == 2", Ok(true)),
            ("@.body.n[2]", Ok(false)),
            ("@.body", Ok(true)),
            ("@.headers['X-GitHub-Event'] == 'push'", Ok(true)),
            ("@.body.end == 'x'", Err(Stop::BeyondLimit)),
            ("@.body.missing", Err(Stop::BeyondLimit)),
            ("!@.body.missing", Err(Stop::BeyondLimit)),
            ("count(@.body.*) == 4", Err(Stop::BeyondLimit)),
            ("length(@.body) == 4", Err(Stop::BeyondLimit)),
            ("@.body == @.body", Err(Stop::BeyondLimit)),
            ("@.body.ref == 'dev' && @.body.end == 'x'", Ok(false)),
            ("@.body.end == 'x' && @.body.ref == 'dev'", Ok(false)),
            ("@.body.end == 'x' || @.type == 'push'", Ok(true)),
            ("@.body.end == 'x' || @.type == 'pull'", Err(Stop::BeyondLimit)),
            ("@.body..ref", Ok(true)),
            ("@..nowhere", Err(Stop::BeyondLimit)),
            ("@.body[?@ == 'main']", Ok(true)),
            ("@.body[?@ == 'x']", Err(Stop::BeyondLimit)),
            ("@.body.n[?@ == 3]", Ok(false)),
        ] {
            let filter = Filter::compile(expression).expect(expression);
            assert_eq!(filter.holds(&facts, &mut Steps::new(steps)), expected, "{expression}");
        }
    }

    assert_eq!(holds_within("@.body.list[-1] == 0", &many, steps), Err(Stop::BeyondLimit));
    assert_eq!(holds_within("@.body.list[7] == 0", &many, steps), Ok(true));
    assert_eq!(
        holds_within("@.body == 'x'", &format!("\"{}\"", "a".repeat(2 << 20)), steps),
        Err(Stop::BeyondLimit)
    );
}

#[test]
fn what_is_wrong_with_one_field_hides_no_other() {
    for body in [
        "\u{feff}{\"a\":1}",
        r#"{"b":"\ud83d","a":1}"#,
        r#"{"a":1,"\udc00":"\ud83d\ud83d"}"#,
        "{\"a\":1,\"b\":\"\n\"}",
    ] {
        assert!(holds("@.body.a == 1", body), "{body}");
    }
    for body in ["", "{", "nonsense", "{\"a\":1} x"] {
        assert!(holds("@.body == null && !@.body.a", body), "{body}");
    }
}

#[test]
fn a_word_alone_is_refused_with_a_query_that_could_be_meant() {
    for (expression, meant) in [
        ("type == \"push\"", "@.type"),
        ("source == 'in'", "@.source"),
        ("body.action == 'x'", "@.body,"),
        ("headers['x'] == 'y'", "@.headers"),
        ("action == 'opened'", "@.body.action"),
    ] {
        let refused = is_refused(expression);
        assert!(refused.contains(meant), "{expression}: {refused}");
        assert!(!refused.contains("@.body.type") && !refused.contains("@.body.body"), "{refused}");
    }
}
