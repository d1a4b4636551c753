//! Endpoints with settings drawn at random.

use hookbox::model::{
    Batch, BatchFormat, CatchUp, CatchUpMode, Endpoint, HeadOfLine, Order, Rate, RetryPolicy,
};
use rand::Rng;
use rand::rngs::StdRng;

use super::World;

/// An endpoint with settings drawn at random.
pub(super) fn endpoint(rng: &mut StdRng, n: u32) -> Endpoint {
    let retry = retry(rng);
    let order = match rng.random_range(0..10) {
        0 | 1 => Order::Strict,
        2..=4 => Order::Key,
        _ => Order::None,
    };
    let after = rng.random_range(1..4);
    let head_of_line = match rng.random_range(0..4) {
        0 if order != Order::None => HeadOfLine::Skip { after },
        1 if order != Order::None => HeadOfLine::Park { after },
        _ => HeadOfLine::Block,
    };
    let mode = match (rng.random_range(0..4), order) {
        (0, Order::None) => CatchUpMode::Newest,
        (1, Order::None) => CatchUpMode::Latest,
        _ => CatchUpMode::Oldest,
    };

    let latest_by = (mode == CatchUpMode::Latest).then(|| "/k".to_owned());
    let pull = rng.random_bool(0.1);
    let batch = (!pull && rng.random_bool(0.45)).then(|| Batch {
        max_events: rng.random_range(1..40),
        max_bytes: rng.random_range(1..20_000),
        max_wait_ms: rng.random_range(0..5_000),
        format: BatchFormat::Json,
    });
    let url = match (pull, rng.random_bool(0.3)) {
        (true, _) => "pull:".to_owned(),
        (false, true) => format!("http://127.0.0.1:{n}/"),
        (false, false) => format!("http://host{n}.example/"),
    };

    let limited = rng.random_bool(0.3).then(|| rate(rng));

    Endpoint {
        retry,
        order,
        order_key: (order == Order::Key).then(|| "/k".to_owned()),
        head_of_line,
        batch,
        burst: limited.map(|_| rng.random_range(1..5)),
        rate: limited,
        catch_up: CatchUp { mode, rate: rng.random_bool(0.2).then(|| rate(rng)), key: latest_by },
        hold_after_ms: if rng.random_bool(0.3) {
            rng.random_range(60_000..600_000)
        } else {
            5 * 86_400_000
        },
        from: if rng.random_bool(0.3) { vec!["a".to_owned()] } else { Vec::new() },
        concurrency: rng.random_range(1..20),
        ..Endpoint::new(format!("e{n}"), url)
    }
}

pub(super) fn rate(rng: &mut StdRng) -> Rate {
    Rate { count: rng.random_range(1..30), per_ms: rng.random_range(500..20_000) }
}

fn retry(rng: &mut StdRng) -> RetryPolicy {
    RetryPolicy {
        base_ms: rng.random_range(1..5000),
        factor: rng.random_range(1.0..4.0),
        max_ms: 60_000,
        jitter: rng.random_range(0.0..1.0),
        max_age_ms: match rng.random_bool(0.15) {
            true => rng.random_range(5_000..60_000),
            false => rng.random_range(600_000..36_000_000),
        },
        max_attempts: rng.random_bool(0.3).then(|| rng.random_range(1..6)),
    }
}

impl World {
    /// An endpoint with other settings, of those whose promises are the same before and after.
    pub(super) fn resettled(&mut self, endpoint: &Endpoint) -> Endpoint {
        let mut other = endpoint.clone();
        other.concurrency = self.rng.random_range(1..=20);
        if endpoint.order == Order::None && endpoint.catch_up.mode != CatchUpMode::Latest {
            let newest = self.rng.random_bool(0.5);
            other.catch_up.mode = if newest { CatchUpMode::Newest } else { CatchUpMode::Oldest };
        }
        if let Some(batch) = &mut other.batch {
            batch.max_wait_ms = self.rng.random_range(0..5_000);
        }
        other
    }
}
