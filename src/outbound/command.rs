//! An attempt that runs a command instead of making a request.

use crate::model::{AttemptReport, DeliveryId, Endpoint, Now, RequestHead, limits};

use super::exec::{self, Program};
use super::message::Message;
use super::{Outbound, sign};

/// What stands for a method in the record of a command.
pub(super) const COMMAND: &str = "exec";

/// What is said of one run of a command.
pub(super) fn command_facts(
    delivery: Option<DeliveryId>,
    number: u32,
    started: Now,
    message: &Message,
    keys: &[sign::Key],
) -> exec::Facts {
    let seconds = (started.wall_ms / 1000).to_string();
    let signed = sign::signature(keys, &message.id, &seconds, &message.body, started.wall_ms);
    exec::Facts {
        delivery: delivery.map(|delivery| delivery.to_string()).unwrap_or_default(),
        number: number.to_string(),
        seconds,
        signature: signed.map(|signed| signed.value).unwrap_or_default(),
    }
}

impl Outbound {
    /// Runs the command of an `exec:` endpoint.
    pub(super) async fn command(
        &self,
        endpoint: &Endpoint,
        program: &Program,
        facts: &exec::Facts,
        message: Message,
        started: Now,
    ) -> AttemptReport {
        let environment = exec::environment(endpoint, &message, facts);
        let timeout_ms = endpoint.timeout_ms.clamp(1, limits::TIMEOUT_MS);
        let permits = self.permits();
        let ended = self.exec.run(program, &permits.allow, &environment, message.body, timeout_ms).await;
        AttemptReport {
            started_at: started.wall_ms,
            duration_ms: (self.clock)().mono_ms.saturating_sub(started.mono_ms),
            connect_ms: None,
            outcome: ended.outcome,
            request: RequestHead {
                method: COMMAND.to_owned(),
                url: endpoint.url.clone(),
                headers: exec::shown(environment),
            },
            response: None,
            error: ended.error,
            fault: None,
            command: ended.command,
        }
    }
}
