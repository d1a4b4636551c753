//! The rules of the machine's operator for attempts, as attempts use them.

use super::exec::allow::AllowedCommands;
use super::http::proxy::DefaultProxy;
use super::settings::{OutboundError, OutboundPolicy};

/// The rules of the machine's operator for attempts, parsed.
pub struct ParsedPolicy {
    pub proxy: DefaultProxy,
    pub commands: AllowedCommands,
}

impl ParsedPolicy {
    /// Parses a policy.
    ///
    /// # Errors
    /// When a proxy or an exception from it cannot be read.
    pub fn new(policy: &OutboundPolicy) -> Result<Self, OutboundError> {
        let proxy = DefaultProxy::new(policy.proxy.as_deref(), &policy.no_proxy);

        Ok(Self {
            proxy: proxy.map_err(OutboundError::Proxy)?,
            commands: AllowedCommands(policy.exec_allow.clone()),
        })
    }
}
