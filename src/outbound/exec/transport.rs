//! The transport of an `exec:` endpoint: each attempt runs its command.

use std::sync::Arc;

use crate::model::{AttemptReport, RequestHead, limits};
use crate::outbound::boxed::Boxed;
use crate::outbound::failure::EndpointRefusal;
use crate::outbound::transport::{Attempt, RequestPreview, SentAttempt, Transport};

use super::allow::AllowedCommands;
use super::environment::{environment, shown};
use super::program::Program;
use super::runner::CommandRunner;

/// Stands for a method in the history.
const METHOD: &str = "exec";

/// The command of one endpoint, and which commands the operator allows.
pub struct ExecTransport {
    runner: Arc<CommandRunner>,
    allowed: AllowedCommands,
    program: Program,
}

impl ExecTransport {
    pub fn new(runner: Arc<CommandRunner>, allowed: AllowedCommands, program: Program) -> Self {
        Self { runner, allowed, program }
    }

    async fn run(&self, attempt: Attempt<'_>) -> AttemptReport {
        let environment = environment(&attempt);
        let timeout_ms = attempt.endpoint.timeout_ms.clamp(1, limits::TIMEOUT_MS);

        let body = attempt.message.body;
        let (program, allowed) = (&self.program, &self.allowed);
        let endpoint = attempt.endpoint.id;
        let result =
            self.runner.run(endpoint, program, allowed, &environment, body, timeout_ms).await;

        let started = attempt.started;
        AttemptReport {
            started_at: started.wall_ms,
            duration_ms: self.runner.now().mono_ms.saturating_sub(started.mono_ms),
            connect_ms: None,
            outcome: result.outcome,
            request: RequestHead {
                method: METHOD.to_owned(),
                url: attempt.endpoint.url.to_string(),
                headers: shown(environment),
            },
            response: None,
            error: result.error,
            fault: None,
            command: result.command,
        }
    }
}

impl Transport for ExecTransport {
    fn check(&self) -> Result<(), EndpointRefusal> {
        let admitted = self.allowed.admit(&self.program.path);
        admitted.map(|_| ()).map_err(|why| match self.runner.sandbox().hides(&self.program.path) {
            Some(advice) => why.with(&format!("; {advice}")),
            None => why,
        })
    }

    fn send<'a>(&'a self, attempt: Attempt<'a>) -> Boxed<'a, SentAttempt> {
        Box::pin(async move { SentAttempt { report: self.run(attempt).await, response: None } })
    }

    fn preview(&self, attempt: &Attempt<'_>) -> Result<RequestPreview, String> {
        self.check().map_err(|why| why.to_string())?;
        Ok(RequestPreview {
            method: METHOD.to_owned(),
            url: self.program.shown(),
            headers: shown(environment(attempt)),
        })
    }
}
