//! What a stream keeps of what it acknowledged, in either direction.

use async_nats::jetstream::stream::{
    Config as StreamConfig, DiscardPolicy, PersistenceMode, StorageType,
};

use super::finding::{Findings, Weight, limit};
use crate::model::{size, time};
use crate::nats::varz::SyncPolicy;

/// By the server's monitoring port; `None` where none is configured, else why it is not known.
pub type KnownSync = Option<Result<SyncPolicy, String>>;

/// What survives what.
pub fn storage(found: &mut Findings, stream: &StreamConfig, sync: &KnownSync) {
    if stream.storage == StorageType::Memory {
        let text = "storage is memory: what is acknowledged is lost when its servers end; use file";
        return found.add(Weight::Weak, text);
    }
    if stream.persist_mode == Some(PersistenceMode::Async) {
        let text = "persist_mode is async: it is acknowledged before it is stored";
        found.add(Weight::Weak, text);
    }

    let replicas = stream.num_replicas.max(1);
    let all_of = if replicas == 1 {
        "the server".to_owned()
    } else {
        format!("most of its {replicas} replicas at the same time")
    };
    let lost = |what: &str| {
        format!("a power cut of {all_of} can lose {what} acknowledged; set sync_interval: always")
    };

    match sync {
        Some(Ok(SyncPolicy::Always)) => {
            found.add(Weight::Note, "each message is synced to disk before it is acknowledged");
        }
        Some(Ok(SyncPolicy::EachMs(ms))) => {
            let text = lost(&format!("the last {} that were", time::format_duration_ms(*ms)));
            found.add(Weight::Weak, format!("sync_interval: {text}"));
        }
        Some(Err(why)) => {
            let text = lost("what was last");
            found.add(Weight::Weak, format!("sync_interval is not known ({why}): {text}"));
        }
        None => {
            let text = lost("what was last (by default of two minutes)");
            let text = format!("sync_interval is not known, for monitoring is not set: {text}");
            found.add(Weight::Weak, text);
        }
    }

    match replicas {
        1 => found.add(Weight::Note, "one replica: the stream is lost with the disk of its server"),
        n => {
            found.add(Weight::Note, format!("{n} replicas: the stream survives the loss of a disk"))
        }
    }
}

/// What goes, and what is refused, when there is no room.
pub fn room(found: &mut Findings, stream: &StreamConfig) {
    let bounds = [
        limit(stream.max_messages).map(|n| format!("max_msgs {n}")),
        limit(stream.max_bytes).map(|n| format!("max_bytes {}", size::format_bytes(n))),
    ];
    let bounds = bounds.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let of_subject = limit(stream.max_messages_per_subject);
    let of_subject = of_subject.map(|n| format!("max_msgs_per_subject {n}"));
    if bounds.is_empty() && of_subject.is_none() {
        let text = "the stream has no bound of its own: what its server's disk cannot take is \
                    refused, and tried again";
        found.add(Weight::Note, text);
    }

    let refuses = stream.discard == DiscardPolicy::New;
    if !bounds.is_empty() {
        bound(found, &bounds, "the oldest messages", "discard: new", refuses);
    }
    // `discard: new` alone says nothing of this bound.
    if let Some(of_subject) = of_subject {
        let which = "the oldest messages of a subject";
        let refuses = refuses && stream.discard_new_per_subject;
        let setting = "discard: new with discard_new_per_subject";
        bound(found, &of_subject, which, setting, refuses);
    }

    if !stream.max_age.is_zero() {
        let age = u64::try_from(stream.max_age.as_millis()).unwrap_or(u64::MAX);
        let text = format!(
            "messages are dropped after {}, consumed or not",
            time::format_duration_ms(age)
        );
        found.add(Weight::Note, text);
    }
}

/// What happens at a bound: `which` go, or with `setting` new ones are refused.
fn bound(found: &mut Findings, bound: &str, which: &str, setting: &str, refuses: bool) {
    if refuses {
        let text = format!("at {bound} new messages are refused, and tried again");
        return found.add(Weight::Note, text);
    }
    let text = format!(
        "at {bound} {which} are dropped, consumed or not; {setting} refuses new ones instead, \
         which their sender keeps"
    );
    found.add(Weight::Weak, text);
}
