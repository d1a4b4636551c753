//! The endpoints that need somebody most, for `status`: what is wrong, since when, what the
//! receiver said, and what to type.

use super::endpoint_health;
use crate::admin::http::problem::Problem;
use crate::admin::scan::log_scan::LogScan;
use crate::api::values::Time;
use crate::api::views::{EndpointCondition, WorstView};
use crate::model::DeliveryId;
use crate::queue::{EndpointSnapshot, WorstEndpoints};

/// Each with what stands in the log alone.
pub fn views(scan: &LogScan, worst: &WorstEndpoints) -> Result<Vec<WorstView>, Problem> {
    worst.endpoints.iter().map(|(snapshot, parked)| view(scan, snapshot, *parked)).collect()
}

fn view(
    scan: &LogScan,
    snapshot: &EndpointSnapshot,
    parked: Option<DeliveryId>,
) -> Result<WorstView, Problem> {
    scan.still_wanted()?;
    let (flow, id) = (&snapshot.flow, snapshot.endpoint.id);
    let logged = endpoint_health::look(scan, flow.oldest, snapshot.last_failure, id)?;
    let condition = endpoint_health::condition(snapshot);
    let held = snapshot.hold.as_ref();
    let breaker = flow.breaker;

    Ok(WorstView {
        endpoint: snapshot.endpoint.name.clone(),
        held_reason: held.map(|(reason, _)| reason.clone().into()),
        since: snapshot.troubled_since.map(Time),
        waiting: snapshot.waiting,
        dead: snapshot.dead,
        oldest_waiting_at: logged.oldest_at.map(Time),
        last_error: snapshot.last_error.clone(),
        last_answer: logged.last_answer,
        next_probe_at: breaker.filter(|_| held.is_none()).map(|(_, probe_at)| Time(probe_at)),
        command: command(&snapshot.endpoint.name, condition, parked, snapshot.dead),
        condition: condition.into(),
    })
}

/// What to type next.
fn command(
    name: &str,
    condition: EndpointCondition,
    parked: Option<DeliveryId>,
    dead: u64,
) -> String {
    match (condition, parked) {
        (EndpointCondition::Held, _) => format!("hookboxctl endpoint release {name}"),
        (EndpointCondition::Parked, Some(head)) => format!("hookboxctl delivery explain {head}"),
        (EndpointCondition::Failing | EndpointCondition::Offline, _) => {
            format!("hookboxctl endpoint test {name}")
        }
        // What waits counts for more than what was given up.
        (EndpointCondition::Lagging, _) => format!("hookboxctl endpoint show {name}"),
        _ if dead > 0 => format!("hookboxctl dlq retry --endpoint {name}"),
        _ => format!("hookboxctl endpoint show {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::command;
    use crate::api::views::EndpointCondition as Condition;
    use crate::model::DeliveryId;

    #[test]
    fn the_command_fits_what_is_wrong() {
        let head = DeliveryId { seq: 7, endpoint: 1 };
        let explain = format!("hookboxctl delivery explain {head}");
        for (condition, parked, dead, expected) in [
            (Condition::Held, None, 3, "hookboxctl endpoint release app"),
            (Condition::Failing, None, 3, "hookboxctl endpoint test app"),
            (Condition::Parked, Some(head), 0, explain.as_str()),
            (Condition::Lagging, None, 3, "hookboxctl endpoint show app"),
            (Condition::Active, None, 3, "hookboxctl dlq retry --endpoint app"),
            (Condition::Active, None, 0, "hookboxctl endpoint show app"),
        ] {
            assert_eq!(command("app", condition, parked, dead), expected, "{condition:?}");
        }
    }
}
