//! `simulate`: the schedule that a retry policy gives, and where an outage of the receiver ends in
//! it. Needs no daemon.

use serde::Serialize;

use super::answer::Answer;
use super::args::SimulateArgs;
use super::clock::now_ms;
use super::error::CtlError;
use super::output::Output;
use super::table::{ALWAYS, Columns, Show, Table};
use crate::api::values::{Int, Span};
use crate::model::RetryPolicy;
use crate::model::backoff::{self, RetryDecision};
use crate::model::time::format_duration_ms;

/// Attempts that are shown at most.
const SHOWN_ATTEMPTS: u32 = 1000;

/// The attempts of one delivery, and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct SimulatedSchedule {
    attempts: Vec<PlannedAttempt>,
    end: ScheduleEnd,
    /// The time of the last attempt.
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_outage_ms: Option<u64>,
    /// Why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    summary: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum ScheduleEnd {
    Delivered,
    Dead,
    /// Further attempts are not shown.
    #[default]
    Open,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct PlannedAttempt {
    number: u32,
    at_ms: u64,
    /// None for the first one.
    #[serde(flatten)]
    delay: Option<PlannedDelay>,
}

/// The delay before an attempt, and its bounds; none where jitter would make the attempt too late.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct PlannedDelay {
    delay_ms: u64,
    earliest_ms: Option<u64>,
    latest_ms: Option<u64>,
}

const ATTEMPTS: Columns<PlannedAttempt> = &[
    ("ATTEMPT", Show::Number(|attempt| Some(attempt.number.into())), ALWAYS),
    ("AT", Show::Text(|attempt| format_duration_ms(attempt.at_ms)), ALWAYS),
    ("AFTER", Show::Text(|attempt| attempt.delay.as_ref().map_or_else(String::new, after)), ALWAYS),
    (
        "BETWEEN",
        Show::Text(|attempt| attempt.delay.as_ref().map_or_else(String::new, between)),
        ALWAYS,
    ),
];

fn after(delay: &PlannedDelay) -> String {
    format_duration_ms(delay.delay_ms)
}

fn between(delay: &PlannedDelay) -> String {
    let bounds = delay.earliest_ms.zip(delay.latest_ms);
    bounds.map_or_else(String::new, |(earliest, latest)| {
        format!("{} and {}", format_duration_ms(earliest), format_duration_ms(latest))
    })
}

pub(super) fn run(out: &mut Output, args: &SimulateArgs) -> Result<(), CtlError> {
    policy(args).check_delays().map_err(|why| CtlError::Usage(format!("--retry-max {why}")))?;

    let schedule = schedule(args);
    if out.json {
        return out.line(Answer::of(&schedule)?.json());
    }

    let mut table = Table::new(now_ms(), ATTEMPTS);
    for attempt in &schedule.attempts {
        out.row_of(&mut table, attempt)?;
    }
    out.end(&mut table, "")?;
    out.line(&schedule.summary)
}

/// The attempts of one delivery, and how it ends.
fn policy(args: &SimulateArgs) -> RetryPolicy {
    RetryPolicy {
        base_ms: args.retry_base.ms(),
        factor: args.retry_factor.get(),
        max_ms: args.retry_max.ms(),
        jitter: args.jitter.get(),
        max_age_ms: args.max_age.ms(),
        max_attempts: args.max_attempts.map(Int::get),
    }
}

fn schedule(args: &SimulateArgs) -> SimulatedSchedule {
    let policy = policy(args);
    let mut draws = args.seed.map(Draws);
    let mut attempts = vec![PlannedAttempt { number: 1, at_ms: 0, delay: None }];
    let (mut number, mut at) = (1, 0);
    loop {
        if let Some(outage) = args.outage.map(Span::ms)
            && at >= outage
        {
            return delivered(attempts, number, at, at - outage);
        }

        // Without a seed, 0.5 draws no jitter; the range is shown instead.
        let decide = |draw| backoff::decide(&policy, number, at, None, draw);
        let delay_ms = match decide(draws.as_mut().map_or(0.5, Draws::next)) {
            RetryDecision::RetryIn { delay_ms } => delay_ms,
            RetryDecision::GiveUp { reason } => return given_up(attempts, at, reason),
        };
        if number == SHOWN_ATTEMPTS {
            return cut_off(attempts, at);
        }

        let bound = |draw| match decide(draw) {
            RetryDecision::RetryIn { delay_ms } => Some(delay_ms),
            RetryDecision::GiveUp { .. } => None,
        };
        let (earliest_ms, latest_ms) = (bound(0.0), bound(1.0));
        (number, at) = (number + 1, at + delay_ms);
        let delay = Some(PlannedDelay { delay_ms, earliest_ms, latest_ms });
        attempts.push(PlannedAttempt { number, at_ms: at, delay });
    }
}

fn delivered(
    attempts: Vec<PlannedAttempt>,
    number: u32,
    at_ms: u64,
    late: u64,
) -> SimulatedSchedule {
    let summary = format!(
        "Delivered at attempt {number}, {} after the first, {} after the end of the outage.",
        format_duration_ms(at_ms),
        format_duration_ms(late)
    );
    let (end, after_outage_ms) = (ScheduleEnd::Delivered, Some(late));
    SimulatedSchedule { attempts, end, at_ms, after_outage_ms, reason: None, summary }
}

fn given_up(attempts: Vec<PlannedAttempt>, at_ms: u64, reason: String) -> SimulatedSchedule {
    let after = format_duration_ms(at_ms);
    let summary = format!("Given up after {after}: {reason}. It is kept as a dead letter.");
    let (end, reason) = (ScheduleEnd::Dead, Some(reason));
    SimulatedSchedule { attempts, end, at_ms, after_outage_ms: None, reason, summary }
}

fn cut_off(attempts: Vec<PlannedAttempt>, at_ms: u64) -> SimulatedSchedule {
    let within = format_duration_ms(at_ms);
    let summary = format!("Only the first {SHOWN_ATTEMPTS} attempts are shown, within {within}.");
    SimulatedSchedule { attempts, at_ms, summary, ..SimulatedSchedule::default() }
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
    use super::{Int, ScheduleEnd, SimulateArgs, Span, schedule};
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
        let times: Vec<u64> = few.attempts.iter().map(|attempt| attempt.at_ms).collect();
        assert_eq!(times, [0, 1_000, 3_000, 7_000]);
        let second = few.attempts[1].delay.as_ref().expect("a retry");
        assert_eq!((second.earliest_ms, second.latest_ms), (Some(800), Some(1_200)));
        assert_eq!(few.end, ScheduleEnd::Dead);

        let old = schedule(&SimulateArgs { max_age: Span::from_ms(10_000), ..args() });
        assert_eq!((old.end, old.at_ms), (ScheduleEnd::Dead, 10_000), "the last falls on its end");
    }

    #[test]
    fn programs_get_a_schedule_as_json() {
        let two = schedule(&SimulateArgs { max_attempts: Some(Int::from_u32(2)), ..args() });
        let json = serde_json::to_string(&two).expect("JSON");
        let attempts = "{\"attempts\":[{\"number\":1,\"at_ms\":0},{\"number\":2,\"at_ms\":1000,\
                        \"delay_ms\":1000,\"earliest_ms\":800,\"latest_ms\":1200}],\"end\":\"dead\",\
                        \"at_ms\":1000,\"reason\":";
        assert!(json.starts_with(attempts), "{json}");
    }

    #[test]
    fn an_outage_ends_with_the_next_attempt_or_comes_too_late() {
        let over = schedule(&SimulateArgs { outage: Some(Span::from_ms(6 * 3_600_000)), ..args() });
        assert_eq!(over.end, ScheduleEnd::Delivered);
        assert!(over.after_outage_ms.expect("a time") <= 3_600_000);
        let long =
            schedule(&SimulateArgs { outage: Some(Span::from_ms(4 * 86_400_000)), ..args() });
        assert_eq!(long.end, ScheduleEnd::Dead);
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
        assert_eq!((tight.end, tight.attempts.len()), (ScheduleEnd::Open, 1000));
    }
}
