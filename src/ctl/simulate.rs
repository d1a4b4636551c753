//! `simulate`: the schedule that a retry policy gives, and where an outage of the receiver ends in it. Needs no daemon.

use clap::Args;
use serde_json::{Value, json};

use super::CtlError;
use super::args::{factor, share};
use super::lists::now_ms;
use super::output::Output;
use super::table::{Show, Table};
use crate::model::RetryPolicy;
use crate::model::backoff::{self, Verdict};
use crate::model::time::{format_duration_ms, parse_duration_ms};

/// Attempts that are shown at most.
const MOST: u32 = 1000;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hookboxctl simulate --max-attempts 8\n  \
    hookboxctl simulate --retry-base 5s --retry-factor 3 --retry-max 6h --outage 6h\n  \
    hookboxctl simulate --max-age 1d --outage 2d\n\nIt is the schedule of one delivery. Where an endpoint does nothing but \
    fail, its breaker opens after 10 failures\nthat span 10 s at least, and the deliveries that wait behind it are attempted when a \
    probe gets through.")]
pub struct SimulateArgs {
    /// The delay before the first retry.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration_ms)]
    pub retry_base: u64,
    /// What each further delay is multiplied with.
    #[arg(long, value_name = "N", default_value = "2", value_parser = factor)]
    pub retry_factor: f64,
    /// The longest delay.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration_ms)]
    pub retry_max: u64,
    /// The share of a delay that is drawn at random, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.2", value_parser = share)]
    pub jitter: f64,
    /// A delivery is given up after this time.
    #[arg(long, value_name = "DURATION", default_value = "3d", value_parser = parse_duration_ms)]
    pub max_age: u64,
    /// A delivery is given up after so many attempts [default: no limit].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: Option<u32>,
    /// The receiver is down for so long from the first attempt on [default: for ever].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ms)]
    pub outage: Option<u64>,
    /// Draw the jitter, the same for the same number [default: none, its range is shown].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

pub(super) fn run(out: &mut Output, args: &SimulateArgs) -> Result<(), CtlError> {
    if args.retry_max < args.retry_base {
        return Err(CtlError::Usage(
            "--retry-max is less than --retry-base: the longest delay is at least the first".into(),
        ));
    }
    if args.retry_base == 0 || args.max_age == 0 {
        return Err(CtlError::Usage("--retry-base and --max-age are at least 1ms".into()));
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
    let range = ms("earliest_ms").zip(ms("latest_ms")).map(|(low, high)| format!("{low} and {high}"));
    json!({"number": attempt["number"], "at": ms("at_ms"), "delay": ms("delay_ms"), "range": range})
}

fn schedule(args: &SimulateArgs) -> Value {
    let policy = RetryPolicy {
        base_ms: args.retry_base,
        factor: args.retry_factor,
        max_ms: args.retry_max,
        jitter: args.jitter,
        max_age_ms: args.max_age,
        max_attempts: args.max_attempts,
    };
    let mut draws = args.seed.map(Draws);
    let mut attempts = vec![json!({"number": 1, "at_ms": 0})];
    let (mut number, mut at) = (1, 0);
    loop {
        if args.outage.is_some_and(|outage| at >= outage) {
            let late = at - args.outage.unwrap_or(0);
            let summary = format!(
                "Delivered at attempt {number}, {} after the first, {} after the end of the outage.",
                format_duration_ms(at),
                format_duration_ms(late)
            );
            return json!({
                "attempts": attempts, "end": "delivered", "at_ms": at, "after_outage_ms": late, "summary": summary,
            });
        }
        let delay = |draw| backoff::decide(&policy, number, at, None, draw);
        let verdict = delay(draws.as_mut().map_or(0.5, Draws::next));
        let delay_ms = match verdict {
            Verdict::GiveUp { reason } => {
                let summary = format!("Given up after {}: {reason}. The dead letter is kept.", format_duration_ms(at));
                return json!({"attempts": attempts, "end": "dead", "at_ms": at, "reason": reason, "summary": summary});
            }
            Verdict::RetryIn { delay_ms } => delay_ms,
        };
        if number == MOST {
            let summary = format!("And so on: {MOST} attempts in {} are all that is shown.", format_duration_ms(at));
            return json!({"attempts": attempts, "end": "open", "at_ms": at, "summary": summary});
        }
        let bound = |draw| match delay(draw) {
            Verdict::RetryIn { delay_ms } => Some(delay_ms),
            Verdict::GiveUp { .. } => None,
        };
        let (earliest, latest) = (bound(0.0), bound(1.0));
        (number, at) = (number + 1, at + delay_ms);
        attempts.push(json!({
            "number": number, "at_ms": at, "delay_ms": delay_ms, "earliest_ms": earliest, "latest_ms": latest,
        }));
    }
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
    use super::{SimulateArgs, schedule};

    fn args() -> SimulateArgs {
        SimulateArgs {
            retry_base: 1_000,
            retry_factor: 2.0,
            retry_max: 3_600_000,
            jitter: 0.2,
            max_age: 3 * 86_400_000,
            max_attempts: None,
            outage: None,
            seed: None,
        }
    }

    #[test]
    fn a_policy_gives_its_schedule_and_its_end() {
        let few = schedule(&SimulateArgs { max_attempts: Some(4), ..args() });
        let times: Vec<u64> =
            few["attempts"].as_array().expect("some").iter().filter_map(|a| a["at_ms"].as_u64()).collect();
        assert_eq!(times, [0, 1_000, 3_000, 7_000]);
        assert_eq!(
            (few["attempts"][1]["earliest_ms"].as_u64(), few["attempts"][1]["latest_ms"].as_u64()),
            (Some(800), Some(1_200))
        );
        assert_eq!(few["end"], "dead");
        let old = schedule(&SimulateArgs { max_age: 10_000, ..args() });
        assert_eq!(
            (old["end"].as_str(), old["at_ms"].as_u64()),
            (Some("dead"), Some(10_000)),
            "the last falls on its end"
        );
    }

    #[test]
    fn an_outage_ends_with_the_next_attempt_or_comes_too_late() {
        let over = schedule(&SimulateArgs { outage: Some(6 * 3_600_000), ..args() });
        assert_eq!(over["end"], "delivered");
        assert!(over["after_outage_ms"].as_u64().expect("a time") <= 3_600_000);
        let long = schedule(&SimulateArgs { outage: Some(4 * 86_400_000), ..args() });
        assert_eq!(long["end"], "dead");
    }

    #[test]
    fn a_seed_draws_the_same_again_and_a_tight_policy_is_cut_off() {
        let drawn = |seed| schedule(&SimulateArgs { max_attempts: Some(9), seed: Some(seed), ..args() });
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let tight = schedule(&SimulateArgs { retry_base: 1, retry_max: 1, ..args() });
        assert_eq!((tight["end"].as_str(), tight["attempts"].as_array().map(Vec::len)), (Some("open"), Some(1000)));
    }
}
