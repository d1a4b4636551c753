//! Logical expressions of RFC 9535, section by section: which hold, which do not, and which are
//! refused, with the error.

use bytes::Bytes;

use crate::model::limits;
use crate::queue::filter::{Filter, FilterInput, Steps};

const BODY: &str = r#"{
    "box": {"w": 2, "h": 3}, "same": {"h": 3.0, "w": 2e0},
    "list": [5, 1, 3], "again": [5, 1.0, 3], "turned": [3, 1, 5],
    "texts": ["a", "b", "c", "d", "e", "f", "g"],
    "null": null, "no": false, "yes": true, "empty": "", "none": [], "bare": {},
    "name": "kilo", "upper": "Kilo", "wide": "\ud83d\ude00\u00e9", "tenth": 0.1, "minus": -1,
    "zone": "Europe/Oslo",
    "deep": {"k": 1, "in": [{"k": 2}, {"k": 3, "in": {"k": 4}}]},
    "items": [{"id": 1, "tags": ["x"]}, {"id": 2, "tags": []}],
    "twins": [[1, [2]], [1, [2]], [1, [2, 3]]],
    "": "nameless", "a b": 1, "it's": 2, "\u263a": 3, "@": 4
}"#;

/// The result of an expression.
enum Is {
    True,
    False,
    /// It is refused, with this in the error.
    Wrong(&'static str),
}

use Is::{False, True, Wrong};

fn check(table: &[(&str, Is)]) {
    let body = Bytes::from_static(BODY.as_bytes());
    let input = FilterInput::new("order.paid", "shop", &[], "POST /in/shop", &body);
    for (expression, is) in table {
        let compiled = Filter::compile(expression);
        match is {
            Wrong(word) => {
                let why = compiled.err().unwrap_or_else(|| panic!("{expression} was taken"));
                assert!(why.contains(word), "{expression}: {why}");
            }
            True | False => {
                let filter = compiled.unwrap_or_else(|why| panic!("{why}"));
                let held = filter.holds(&input, &mut Steps::new(limits::FILTER_STEPS));
                assert_eq!(held, Ok(matches!(is, True)), "{expression}");
            }
        }
    }
}

/// Section 2.3.5.2.2: what is compared, and how.
const COMPARISONS: &[(&str, Is)] = &[
    // Nothing equals nothing, and differs from everything else, null as well.
    ("@.body.gone == @.body.lost", True),
    ("@.body.gone != @.body.lost", False),
    ("@.body.gone <= @.body.lost", True),
    ("@.body.gone >= @.body.lost", True),
    ("@.body.gone < @.body.lost", False),
    ("@.body.gone == 'x'", False),
    ("@.body.gone != 'x'", True),
    ("@.body.gone == null", False),
    ("@.body.gone != null", True),
    ("@.body.null == null", True),
    ("@.body.null == false", False),
    ("@.body.null == 0", False),
    ("@.body.null <= null", True),
    ("@.body.null < null", False),
    // Numbers by their value, texts by their characters, never one with the other.
    ("1 <= 2", True),
    ("2 > 10", False),
    ("'2' > '10'", True),
    ("10 == '10'", False),
    ("10 != '10'", True),
    ("10 < '9'", False),
    ("10 > '9'", False),
    ("@.body.tenth == 1e-1", True),
    ("@.body.tenth == 0.10", True),
    ("@.body.minus < 0 && @.body.minus == -1.0", True),
    ("0 == -0", True),
    ("'a' < 'b' && 'a' <= 'a' && !('a' < 'a')", True),
    ("@.body.upper < @.body.name", True),
    ("@.body.upper == @.body.name", False),
    ("@.body.empty < 'a' && @.body.empty == ''", True),
    ("'\\uffff' < '\\ud83d\\ude00'", True),
    // Truths are equal or not, and have no order.
    ("@.body.yes == true && @.body.no == false", True),
    ("@.body.no < @.body.yes", False),
    ("@.body.yes > @.body.no", False),
    ("@.body.yes >= true", True),
    ("@.body.yes == 'true'", False),
    ("@.body.yes == 1", False),
    // Arrays and objects are equal by what is in them, and have no order.
    ("@.body.box == @.body.same", True),
    ("@.body.box != @.body.same", False),
    ("@.body.box <= @.body.same", True),
    ("@.body.box < @.body.same", False),
    ("@.body.list == @.body.again", True),
    ("@.body.list == @.body.turned", False),
    ("@.body.list >= @.body.turned", False),
    ("@.body.box == @.body.list", False),
    ("@.body.box != @.body.list", True),
    ("@.body.none == @.body.bare", False),
    ("@.body.none != @.body.gone", True),
    ("@.body.list == 5", False),
    ("5 >= @.body.list", False),
    ("5 < @.body.list", False),
    ("@.body.twins[0] == @.body.twins[1]", True),
    ("@.body.twins[0] == @.body.twins[2]", False),
    // Sides are literals, singular queries and functions.
    ("@.body.list[0] == 5", True),
    ("5 == @.body.list[0]", True),
    ("@.body['list'][-3] == 5", True),
    ("@.body.list[*] == 5", Wrong("several")),
    ("@.body.list[0, 1] == 5", Wrong("several")),
    ("@.body.list[0:1] == 5", Wrong("several")),
    ("@.body.list[?@ == 5] == 5", Wrong("several")),
    ("@.body..k == 1", Wrong("several")),
    ("5 == @.body.*", Wrong("several")),
    ("@.body.name == kilo", Wrong("quotes")),
    ("@.body.name == 'kilo' == true", Wrong("one logical expression")),
    ("1 < 2 < 3", Wrong("one logical expression")),
    ("@.body.name === 'kilo'", Wrong("neither a value")),
    ("@.body.name = 'kilo'", Wrong("one logical expression")),
    ("@.body.name <> 'kilo'", Wrong("neither a value")),
    ("@.body.name == ('kilo')", Wrong("neither a value")),
    ("@.body.name == [1]", Wrong("neither a value")),
    ("@.body.name == {}", Wrong("neither a value")),
    ("@.body.name == !true", Wrong("neither a value")),
    ("@.body.name == True", Wrong("neither a value")),
    ("@.body.name == nil", Wrong("quotes")),
    ("@.body.name ==", Wrong("ends where")),
    ("== 'kilo'", Wrong("neither a value")),
];

#[test]
fn comparisons() {
    check(COMPARISONS);
}

/// Sections 2.3.5.1 and 2.3.5.2.1: logic, and tests of whether something is there.
const LOGIC_AND_EXISTENCE: &[(&str, Is)] = &[
    // What is there counts, whatever it is.
    ("@.body.null", True),
    ("@.body.no", True),
    ("@.body.none", True),
    ("@.body.empty", True),
    ("@.body.gone", False),
    ("!@.body.gone", True),
    ("! @.body.gone", True),
    ("@.body.none[*]", False),
    ("@.body.bare.*", False),
    ("@.body.list[0:0]", False),
    ("@.body.list[9]", False),
    ("@.body.name[0]", False),
    ("@.body.name.length", False),
    ("@.body.list.x", False),
    ("@.body.box[0]", False),
    // `!` binds more than `&&`, and that more than `||`.
    ("@.body.yes || @.body.gone && @.body.gone", True),
    ("(@.body.yes || @.body.gone) && @.body.gone", False),
    ("!@.body.yes || @.body.yes", True),
    ("!(@.body.yes || @.body.yes)", False),
    ("!(@.body.name == 'x')", True),
    ("((((@.body.name == 'kilo'))))", True),
    ("!@.body.name == 'x'", Wrong("write !(a == b)")),
    ("!!@.body.yes", Wrong("neither a value")),
    ("!(!(@.body.yes))", True),
    ("!'x'", Wrong("compared with nothing")),
    ("(1) == 1", Wrong("compared with nothing")),
    ("(@.body.name) == 'kilo'", Wrong("one logical expression")),
    ("@.body.yes and @.body.no", Wrong("one logical expression")),
    ("@.body.yes | @.body.no", Wrong("one logical expression")),
    ("@.body.yes &&& @.body.no", Wrong("neither a value")),
    ("@.body.yes || ", Wrong("ends where")),
    ("|| @.body.yes", Wrong("neither a value")),
    ("()", Wrong("neither a value")),
    ("true", Wrong("compared with nothing")),
    ("null", Wrong("compared with nothing")),
    ("@.body.yes, *", Wrong("one logical expression")),
    ("@.body.yes, @.body.no", Wrong("one logical expression")),
    ("?@.body.yes", Wrong("neither a value")),
    ("[?@.body.yes]", Wrong("neither a value")),
    ("body.yes", Wrong("quotes")),
];

#[test]
fn logic_and_existence() {
    check(LOGIC_AND_EXISTENCE);
}

/// Sections 2.3.1 to 2.3.5, and 2.5: selectors and segments.
const SELECTORS_AND_SEGMENTS: &[(&str, Is)] = &[
    // Names.
    ("@.body[''] == 'nameless'", True),
    ("@.body['a b'] == 1 && @.body[\"a b\"] == 1", True),
    ("@.body['it\\'s'] == 2 && @.body[\"it's\"] == 2", True),
    ("@.body.☺ == 3 && @.body['\\u263A'] == 3", True),
    ("@.body['@'] == 4", True),
    ("@.body.wide == '\\uD83D\\uDE00é'", True),
    ("@.body['it\"s']", False),
    ("@.body['it\\\"s']", Wrong("escape")),
    ("@.body[\"it\\'s\"]", Wrong("escape")),
    ("@.body['\\x41']", Wrong("escape")),
    ("@.body['\\u00g0']", Wrong("hexadecimal")),
    ("@.body['\\ude00\\ud83d']", Wrong("surrogate")),
    ("@.body.a b", Wrong("one logical expression")),
    ("@.body.2", Wrong("behind '.'")),
    ("@.body.-x", Wrong("behind '.'")),
    ("@.body.", Wrong("behind '.'")),
    ("@.body[name]", Wrong("without a name")),
    // Wildcards, indexes and slices.
    ("count(@.body.list[*]) == 3 && count(@.body.box.*) == 2", True),
    ("@.body.list[-1] == 3 && @.body.list[2] == 3", True),
    ("@.body.list[3] == @.body.list[-4]", True),
    ("value(@.body.texts[1:2]) == 'b'", True),
    ("count(@.body.texts[1:5:2]) == 2 && value(@.body.texts[3:5:2]) == 'd'", True),
    ("count(@.body.texts[5:1:-2]) == 2 && value(@.body.texts[5:4:-2]) == 'f'", True),
    (
        "count(@.body.texts[::-1]) == 7 && count(@.body.texts[:]) == 7 \
         && count(@.body.texts[::]) == 7",
        True,
    ),
    ("count(@.body.texts[-3:]) == 3 && count(@.body.texts[:-3]) == 4", True),
    ("count(@.body.texts[1:5:0]) == 0", True),
    ("count(@.body.texts[-100:100]) == 7 && count(@.body.texts[100:-100:-1]) == 7", True),
    ("count(@.body.texts[0, 0, 1:3, *]) == 11", True),
    ("count(@.body.name[:]) == 0", True),
    ("@.body.list[00]", Wrong("not an index")),
    ("@.body.list[-0]", Wrong("not an index")),
    ("@.body.list[1.0]", Wrong("']'")),
    ("@.body.list[+1]", Wrong("without a name")),
    ("@.body.list[9007199254740991]", False),
    ("@.body.list[9007199254740992]", Wrong("not an index")),
    ("@.body.list[0:9007199254740992]", Wrong("not an index")),
    ("@.body.list[0::01]", Wrong("not an index")),
    ("@.body.list[0:1:2:3]", Wrong("']'")),
    ("@.body.list[]", Wrong("without a name")),
    ("@.body.list[0,]", Wrong("without a name")),
    ("@.body.list[,0]", Wrong("without a name")),
    ("@.body.list[0", Wrong("']'")),
    ("@.body.list 0]", Wrong("one logical expression")),
    // Descendants.
    ("count(@.body.deep..k) == 4", True),
    ("count(@.body.deep..['k', 'in']) == 6", True),
    ("count(@.body.deep..[0]) == 1", True),
    ("count(@.body.deep..*) == 8", True),
    ("count(@.body.list..*) == 3 && count(@.body.name..*) == 0", True),
    ("@.body..in..k", True),
    ("@.body.deep..[?@.k == 4]", True),
    ("@.body.deep..[?@.k == 5]", False),
    ("@.body ..id", True),
    ("@..id", True),
    ("@.body..", Wrong("behind '.'")),
    ("@.body.. id", Wrong("behind '.'")),
    ("@.body...id", Wrong("behind '.'")),
    ("@.body..[ 'id' ]", True),
    ("..id", Wrong("neither a value")),
    // Filters within: `@` is what is looked at, `$` the event.
    ("@.body.items[?@.id == 2]", True),
    ("@.body.items[?@.id == 3]", False),
    ("@.body.items[?@.tags[?@ == 'x']].id", True),
    ("@.body.items[?@.tags[?@ == 'x'] && @.id == 2]", False),
    ("@.body.list[?@ == $.body.box.h]", True),
    ("@.body.list[?@ > $.body.list[0]]", False),
    ("@.body.box[?@ > 2]", True),
    ("@.body.name[?@]", False),
    ("count(@.body.list[?@ > 1, ?@ < 5]) == 4", True),
    ("@.body.items[?(@.id == 2)]", True),
    ("@.body.items[?]", Wrong("neither a value")),
    ("@.body.items[?@.id == 2", Wrong("']'")),
    ("@.body.items[?@.id = 2]", Wrong("']'")),
    ("@.body.items[?2]", Wrong("compared with nothing")),
    // Blanks and line breaks stand between tokens, not in them.
    ("\n@ .body\t.list\r\n[ 0 ]\n==\n5\n", True),
    ("@.body.texts[ 1 : 5 : 2 ]", True),
    ("@. body", Wrong("behind '.'")),
    ("@.body.yes & & @.body.yes", Wrong("one logical expression")),
    ("@.body.list[0] = = 5", Wrong("one logical expression")),
    ("@.body.list[- 1]", Wrong("not an index")),
    ("@\u{a0}.body", Wrong("one logical expression")),
];

#[test]
fn selectors_and_segments() {
    check(SELECTORS_AND_SEGMENTS);
}

/// Section 2.4: functions, and of which type their arguments and results are.
const FUNCTIONS: &[(&str, Is)] = &[
    ("length(@.body.name) == 4", True),
    ("length(@.body.wide) == 2", True),
    ("length(@.body.list) == 3 && length(@.body.box) == 2 && length(@.body.empty) == 0", True),
    ("length(@.body.minus) == 2", False),
    ("length(@.body.minus) == length(@.body.gone)", True),
    ("length(@.body.gone) < 1", False),
    ("length('four') == 4", True),
    ("length(value(@.body..zone)) == 11", True),
    ("length(@.body.list[*]) == 3", Wrong("several")),
    ("length(@.body..k) == 3", Wrong("several")),
    ("length(@.body.list)", Wrong("compared with nothing")),
    ("length() == 0", Wrong("neither a value")),
    ("length(@.body.list, 1) == 3", Wrong("')'")),
    ("length(match(@.type, 'x')) == 3", Wrong("a condition by itself")),
    ("length (@.body.list) == 3", Wrong("quotes")),
    ("LENGTH(@.body.list) == 3", Wrong("neither a value")),
    ("count(@.body.items[*].tags[*]) == 1", True),
    ("count(@.body.gone) == 0 && count(@.body.name) == 1", True),
    ("count('x') == 1", Wrong("needs a query")),
    ("count(length(@.body.list)) == 1", Wrong("needs a query")),
    ("count(@.body.list[*])", Wrong("compared with nothing")),
    ("count(@.body.yes && @.body.no) == 1", Wrong("')'")),
    ("value(@.body.items[*].tags[*]) == 'x'", True),
    ("value(@.body.list[*]) == 5", False),
    ("value(@.body.list[*]) == value(@.body.gone)", True),
    ("value(@.body.name)", Wrong("compared with nothing")),
    ("value(4) == 4", Wrong("needs a query")),
    ("match(@.body.zone, 'Europe/.*')", True),
    ("match(@.body.zone, 'Europe')", False),
    ("search(@.body.zone, 'Oslo')", True),
    ("!search(@.body.zone, 'Bergen') && search(@.type, '[.]paid$')", True),
    ("match(@.body.wide, '..')", True),
    ("match(@.body.minus, '-1')", False),
    ("match(value(@.body..zone), 'Europe/[A-Z][a-z]+')", True),
    ("match(@.body.zone, 'Europe/.*') == true", Wrong("a condition by itself")),
    ("true == match(@.body.zone, 'Europe/.*')", Wrong("a condition by itself")),
    ("match(@.body.texts[*], 'a')", Wrong("several")),
    ("match(@.body.zone)", Wrong("','")),
    ("match(@.body.zone, 'a', 'i')", Wrong("')'")),
    ("match(@.body.zone, '(')", Wrong("regular expression")),
    ("starts_with(@.body.zone, 'E')", Wrong("there are length()")),
    ("nothing()", Wrong("there are length()")),
];

#[test]
fn functions() {
    check(FUNCTIONS);
}

/// Section 2.3.5.1: literals.
const LITERALS: &[(&str, Is)] = &[
    ("1E3 == 1000 && 1e+3 == 1000 && 10e-1 == 1", True),
    ("-0.5 < 0", True),
    ("1.0 == 1", True),
    ("1. == 1", Wrong("not a number")),
    (".1 == 1", Wrong("neither a value")),
    ("01 == 1", Wrong("not a number")),
    ("-01 == -1", Wrong("not a number")),
    ("+1 == 1", Wrong("neither a value")),
    ("1e == 1", Wrong("not a number")),
    ("--1 == 1", Wrong("not a number")),
    ("0x10 == 16", Wrong("compared with nothing")),
    ("Infinity == 1", Wrong("neither a value")),
    ("'a' == \"a\"", True),
    ("'\\n\\t\\r\\b\\f\\/\\\\' == \"\\u000a\\u0009\\u000D\\u0008\\u000c/\\\\\"", True),
    ("'a\u{7f}' == 'a\\u007f'", True),
    ("'a' == 'a", Wrong("where a text ends")),
    ("'a\u{1}' == 'a'", Wrong("control character")),
    ("`a` == 'a'", Wrong("neither a value")),
    ("'a' 'b'", Wrong("compared with nothing")),
];

#[test]
fn literals() {
    check(LITERALS);
}
