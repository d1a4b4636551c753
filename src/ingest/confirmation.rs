//! Confirmations: a GET that a proven and durable request asks for (AWS SNS's
//! SubscriptionConfirmation).
//!
//! It goes through the guarded outbound client that the daemon provides, in the background: the
//! provider has its answer by then. It is tried `limits::CONFIRMATION_TRIES` times. The log
//! remembers the event alone; the result is in the process log. A daemon that dies in between has
//! not confirmed: the provider sends another request when the subscription is requested again.

use std::time::Duration;

use super::keys::Fetch;
use super::service::Ingest;
use super::verify::FollowUp;
use crate::model::{Source, limits};

/// Starts a confirmation, unless too many are under way.
pub(super) fn start(ingest: &Ingest, source: &Source, follow_up: FollowUp) {
    let FollowUp::Confirm { url, topic } = follow_up;
    let name = source.name.clone();
    let Some(fetch) = ingest.keys.fetch() else { return };
    let Ok(permit) = ingest.confirmations.clone().try_acquire_owned() else {
        tracing::warn!(
            source = name,
            topic,
            "not confirmed: too many confirmations at a time; request the subscription again"
        );
        return;
    };

    let entered = ingest.handle.health().gate.enter();
    tokio::spawn(async move {
        match confirm(&fetch, &url, limits::CONFIRMATION_PAUSE_MS).await {
            Ok(()) => tracing::info!(source = name, topic, "the subscription is confirmed"),
            Err(why) => {
                tracing::error!(source = name, topic, "the subscription is not confirmed: {why}")
            }
        }
        drop((permit, entered));
    });
}

async fn confirm(fetch: &Fetch, url: &str, pause_ms: u64) -> Result<(), String> {
    let mut pause = Duration::from_millis(pause_ms);
    let mut tried = 1;
    loop {
        let why = match fetch(url.to_owned(), false).await {
            Ok((200..=299, _)) => return Ok(()),
            Ok((status, _)) => format!("the answer has status {status}"),
            Err(why) => why,
        };

        if tried == limits::CONFIRMATION_TRIES {
            return Err(format!("{why} (tried {tried} times)"));
        }

        tried += 1;
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::confirm;
    use crate::ingest::Fetch;
    use crate::model::limits;

    #[tokio::test]
    async fn it_is_tried_until_it_works_or_a_few_times() {
        let tries = Arc::new(AtomicU32::new(0));
        let counted = tries.clone();
        let fetch: Fetch = Arc::new(move |url, allow_private| {
            assert!(url.starts_with("https://sns.") && !allow_private);
            let n = counted.fetch_add(1, Ordering::AcqRel);
            Box::pin(async move {
                match n {
                    0 => Err("nobody answers".to_owned()),
                    1 => Ok((500, Vec::new())),
                    2 => Ok((200, Vec::new())),
                    _ => Ok((403, Vec::new())),
                }
            })
        });

        assert_eq!(confirm(&fetch, "https://sns.x.amazonaws.com/", 1).await, Ok(()));
        assert_eq!(tries.load(Ordering::Acquire), 3);

        let refused =
            confirm(&fetch, "https://sns.x.amazonaws.com/", 1).await.expect_err("403 stays 403");
        assert!(refused.contains("403"), "{refused}");
        assert_eq!(tries.load(Ordering::Acquire), 3 + limits::CONFIRMATION_TRIES);
    }
}
