//! `simulate`: the schedule that a retry policy gives, and where an outage of the receiver ends in
//! it. Needs no daemon.

use serde_json::{Value, json};

use super::args::SimulateArgs;
use super::clock::now_ms;
use super::error::CtlError;
use super::output::Output;
use super::table::{Show, Table};
use crate::api::values::{Int, Span};
use crate::model::RetryPolicy;
use crate::model::backoff::{self, RetryDecision};
use crate::model::time::format_duration_ms;

/// Attempts that are shown at most.
const SHOWN_ATTEMPTS: u32 = 1000;

pub(super) fn run(out: &mut Output, args: &SimulateArgs) -> Result<(), CtlError> {
    if args.retry_max.ms() < args.retry_base.ms() {
        let what =
            "--retry-max is less than --retry-base: give a longest delay of at least the first";
        return Err(CtlError::Usage(what.into()));
    }

    let schedule = schedule(args);
    if out.json {
        return out.one(&schedule, Value::to_string);
    }

    let columns = [
        ("ATTEMPT", "number", Show::Number),
        ("AT", "at", Show::Text),
        ("AFTER", "delay", Show::Text),
        ("BETWEEN", "range", Show::Text),
    ];
    let mut table = Table::new(now_ms(), &columns);
    for attempt in schedule["attempts"].as_array().into_iter().flatten() {
        out.row(&mut table, &shown(attempt))?;
    }
    out.end(&mut table, "")?;
    out.line(schedule["summary"].as_str().unwrap_or_default())
}

/// A row for people.
fn shown(attempt: &Value) -> Value {
    let ms = |field: &str| attempt[field].as_u64().map(format_duration_ms);
    let range =
        ms("earliest_ms").zip(ms("latest_ms")).map(|(low, high)| format!("{low} and {high}"));
    json!({"number": attempt["number"], "at": ms("at_ms"), "delay": ms("delay_ms"), "range": range})
}

/// The attempts of one delivery, and how it ends.
fn schedule(args: &SimulateArgs) -> Value {
    let policy = RetryPolicy {
        base_ms: args.retry_base.ms(),
        factor: args.retry_factor.get(),
        max_ms: args.retry_max.ms(),
        jitter: args.jitter.get(),
        max_age_ms: args.max_age.ms(),
        max_attempts: args.max_attempts.map(Int::get),
    };
    let mut draws = args.seed.map(Draws);
    let mut attempts = vec![json!({"number": 1, "at_ms": 0})];
    let (mut number, mut at) = (1, 0);
    loop {
        if let Some(outage) = args.outage.map(Span::ms)
            && at >= outage
        {
            return delivered(&attempts, number, at, at - outage);
        }

        // Without a seed, 0.5 draws no jitter; the range is shown instead.
        let decide = |draw| backoff::decide(&policy, number, at, None, draw);
        let delay_ms = match decide(draws.as_mut().map_or(0.5, Draws::next)) {
            RetryDecision::RetryIn { delay_ms } => delay_ms,
            RetryDecision::GiveUp { reason } => return given_up(&attempts, at, &reason),
        };
        if number == SHOWN_ATTEMPTS {
            return cut_off(&attempts, at);
        }

        let bound = |draw| match decide(draw) {
            RetryDecision::RetryIn { delay_ms } => Some(delay_ms),
            RetryDecision::GiveUp { .. } => None,
        };
        let (earliest, latest) = (bound(0.0), bound(1.0));
        (number, at) = (number + 1, at + delay_ms);
        attempts.push(json!({
            "number": number, "at_ms": at, "delay_ms": delay_ms,
            "earliest_ms": earliest, "latest_ms": latest,
        }));
    }
}

fn delivered(attempts: &[Value], number: u32, at: u64, late: u64) -> Value {
    let summary = format!(
        "Delivered at attempt {number}, {} after the first, {} after the end of the outage.",
        format_duration_ms(at),
        format_duration_ms(late)
    );
    json!({
        "attempts": attempts, "end": "delivered", "at_ms": at, "after_outage_ms": late,
        "summary": summary,
    })
}

fn given_up(attempts: &[Value], at: u64, reason: &str) -> Value {
    let after = format_duration_ms(at);
    let summary = format!("Given up after {after}: {reason}. It is kept as a dead letter.");
    json!({
        "attempts": attempts, "end": "dead", "at_ms": at, "reason": reason, "summary": summary,
    })
}

fn cut_off(attempts: &[Value], at: u64) -> Value {
    let within = format_duration_ms(at);
    let summary = format!("Only the first {SHOWN_ATTEMPTS} attempts are shown, within {within}.");
    json!({"attempts": attempts, "end": "open", "at_ms": at, "summary": summary})
}

/// Numbers from 0 to 1 out of a seed (SplitMix64).
struct Draws(u64);

impl Draws {
    #[expect(clippy::cast_precision_loss, reason = "the upper 53 bits are what a double holds")]
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Int, SimulateArgs, Span, schedule};
    use crate::api::values::Real;

    fn args() -> SimulateArgs {
        SimulateArgs {
            retry_base: Span::from_ms(1_000),
            retry_factor: Real::from_f64(2.0),
            retry_max: Span::from_ms(3_600_000),
            jitter: Real::from_f64(0.2),
            max_age: Span::from_ms(3 * 86_400_000),
            max_attempts: None,
            outage: None,
            seed: None,
        }
    }

    #[test]
    fn a_policy_gives_its_schedule_and_its_end() {
        let few = schedule(&SimulateArgs { max_attempts: Some(Int::from_u32(4)), ..args() });
        let times: Vec<u64> = few["attempts"]
            .as_array()
            .expect("some")
            .iter()
            .filter_map(|a| a["at_ms"].as_u64())
            .collect();
        assert_eq!(times, [0, 1_000, 3_000, 7_000]);
        assert_eq!(
            (few["attempts"][1]["earliest_ms"].as_u64(), few["attempts"][1]["latest_ms"].as_u64()),
            (Some(800), Some(1_200))
        );
        assert_eq!(few["end"], "dead");
        let old = schedule(&SimulateArgs { max_age: Span::from_ms(10_000), ..args() });
        assert_eq!(
            (old["end"].as_str(), old["at_ms"].as_u64()),
            (Some("dead"), Some(10_000)),
            "the last falls on its end"
        );
    }

    #[test]
    fn an_outage_ends_with_the_next_attempt_or_comes_too_late() {
        let over = schedule(&SimulateArgs { outage: Some(Span::from_ms(6 * 3_600_000)), ..args() });
        assert_eq!(over["end"], "delivered");
        assert!(over["after_outage_ms"].as_u64().expect("a time") <= 3_600_000);
        let long =
            schedule(&SimulateArgs { outage: Some(Span::from_ms(4 * 86_400_000)), ..args() });
        assert_eq!(long["end"], "dead");
    }

    #[test]
    fn a_seed_draws_the_same_again_and_a_tight_policy_is_cut_off() {
        let drawn = |seed| {
            schedule(&SimulateArgs {
                max_attempts: Some(Int::from_u32(9)),
                seed: Some(seed),
                ..args()
            })
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let tight = schedule(&SimulateArgs {
            retry_base: Span::from_ms(1),
            retry_max: Span::from_ms(1),
            ..args()
        });
        assert_eq!(
            (tight["end"].as_str(), tight["attempts"].as_array().map(Vec::len)),
            (Some("open"), Some(1000))
        );
    }
}
