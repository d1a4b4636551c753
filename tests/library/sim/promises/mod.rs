//! Promises about what restrains deliveries, one by one, in scripted worlds.

mod age;
mod catch_up;
mod offline;
mod order;
mod pace;
mod restarts;

use std::cell::Cell;
use std::rc::Rc;

use hookbox::model::{Endpoint, Rate, RetryPolicy};

use crate::sim::script::{Says, Seen};

fn endpoint(name: &str) -> Endpoint {
    let retry =
        RetryPolicy { base_ms: 1_000, max_ms: 4_000, jitter: 0.0, ..RetryPolicy::default() };
    Endpoint { retry, ..Endpoint::new(name, format!("http://{name}.example/")) }
}

fn per_second(count: u32) -> Rate {
    Rate { count, per_ms: 1_000 }
}

fn to<'a>(seen: &'a [Seen], name: &'a str) -> impl Iterator<Item = &'a Seen> {
    seen.iter().filter(move |seen| seen.to == name)
}

/// A receiver that fails until a switch is set.
fn switched(
    up: &Rc<Cell<bool>>,
) -> impl FnMut(&Endpoint, &[std::sync::Arc<hookbox::model::Event>], u64) -> Says + 'static {
    let up = up.clone();
    move |_, _, _| if up.get() { Says::ok() } else { Says::fails(500) }
}
