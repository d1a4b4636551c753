//! Filters: an expression, and a body that it is asked of, cut at the first NUL. Nothing panics,
//! whatever the steps; with more steps the answer is the same one, or there was none before; asking
//! costs what it cost the last time.
#![no_main]

use bytes::Bytes;
use hookbox::model::{Header, limits};
use hookbox::queue::filter::{Filter, FilterInput, Steps, Stop};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((few, data)) = data.split_first_chunk::<2>() else { return };
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (expression, body) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let Ok(expression) = std::str::from_utf8(expression) else { return };
    let filter = match Filter::compile(expression) {
        Ok(filter) => filter,
        Err(why) => {
            assert!(why.chars().count() < 600, "{why}");
            return;
        }
    };
    assert!(expression.len() <= limits::FILTER_LEN);

    let headers =
        [Header::new("content-type", "application/json"), Header::new("x-note", vec![b'a'; 40])];
    let body = Bytes::copy_from_slice(body);
    let ask = |steps: u64| {
        let input = FilterInput::new("push", "shop", &headers, "POST /in/shop", &body);
        let mut left = Steps::new(steps);
        let answer = filter.holds(&input, &mut left);
        assert!(left.left() <= steps);
        assert!(answer != Err(Stop::OutOfSteps) || left.left() == 0);
        assert!(answer != Err(Stop::BodyNotRead), "it was read");
        (answer, steps - left.left())
    };
    let (answer, took) = ask(limits::FILTER_OWN_STEPS);
    assert_eq!(ask(limits::FILTER_OWN_STEPS), (answer, took), "the same again");

    let (with_few, _) = ask(u64::from(u16::from_le_bytes(*few)));
    let ran_out = [with_few, answer].contains(&Err(Stop::OutOfSteps));
    assert!(with_few == answer || ran_out, "{with_few:?} {answer:?}");
    if answer != Err(Stop::OutOfSteps) {
        assert_eq!(ask(took), (answer, took), "what it took is enough");
        let with_more = ask(limits::FILTER_STEPS);
        assert_eq!(with_more, (answer, took), "and no more is taken when there is more");
    }
});
