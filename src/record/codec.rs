//! Records to bytes and back: a version byte, then rmp-serde (structs as arrays).

use super::Record;

/// The format this version writes. A record with a higher one was written by a later hookbox.
pub const VERSION: u8 = 1;

/// Bytes that are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the record is empty")]
    Empty,
    #[error(
        "the record has format {0}, this version reads up to {VERSION}: use the hookbox that wrote it, or a later one"
    )]
    Newer(u8),
    #[error("the record is of a kind that this version does not know: {0}")]
    UnknownKind(rmp_serde::decode::Error),
    #[error("the record cannot be read: {0}")]
    Garbage(#[from] rmp_serde::decode::Error),
    #[error("the record has {0} bytes too many at its end")]
    Trailing(usize),
}

/// Appends the encoded record to `out`.
///
/// # Panics
/// Never for the types of this crate: every one of them can be serialized into memory.
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    out.push(VERSION);
    rmp_serde::encode::write(out, record).expect("records serialize into memory");
}

/// Reads one record that fills `bytes` exactly.
///
/// # Errors
/// When the bytes are not a record of this version.
pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    let (&version, rest) = bytes.split_first().ok_or(RecordError::Empty)?;
    if version > VERSION {
        return Err(RecordError::Newer(version));
    }
    if version != VERSION {
        return Err(RecordError::Garbage(rmp_serde::decode::Error::Syntax(format!("there is no format {version}"))));
    }
    let mut reader = rest;
    let record = {
        let mut decoder = rmp_serde::Deserializer::new(&mut reader);
        serde::Deserialize::deserialize(&mut decoder).map_err(|error| match error {
            // serde's own words for a variant's name that is not in the list.
            rmp_serde::decode::Error::Syntax(what) if what.starts_with("unknown variant") => {
                RecordError::UnknownKind(rmp_serde::decode::Error::Syntax(what))
            }
            error => RecordError::Garbage(error),
        })?
    };
    match reader.len() {
        0 => Ok(record),
        left => Err(RecordError::Trailing(left)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

    use super::super::{AttemptFinished, Next, Replay, ReplayFilter, Waiting};
    use super::{Record, RecordError, VERSION, decode, encode};
    use crate::model::{
        AttemptReport, DeliveryId, Endpoint, Event, EventId, Header, HoldReason, Outcome, RequestHead, ResponseHead,
        Source,
    };

    fn event() -> impl Strategy<Value = Arc<Event>> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..2000);
        (any::<[u64; 3]>(), "\\PC{0,20}", proptest::option::of("\\PC{0,40}"), bytes).prop_map(|(n, name, key, body)| {
            Arc::new(Event {
                id: EventId { seq: n[0], tag: n[1] },
                source: 7,
                source_name: name.clone(),
                kind: name.clone(),
                received_at: n[2],
                dedupe_key: key,
                request_line: format!("POST /in/{name}"),
                remote: String::new(),
                headers: vec![Header::new(name, body.clone())],
                body: Bytes::from(body),
                from_provider: n[0] % 2 == 0,
                first_id: (n[0] % 3 == 0).then_some(EventId { seq: n[1], tag: n[2] }),
            })
        })
    }

    fn attempt() -> impl Strategy<Value = Record> {
        let next = prop_oneof![
            any::<[u64; 3]>().prop_map(|n| Next::Retry { due_at: n[0], delay_ms: n[1], age_ms: n[2] }),
            "\\PC{0,20}".prop_map(|reason| Next::Dead { reason }),
            Just(Next::Held { reason: HoldReason::Gone }),
            Just(Next::Delivered),
        ];
        let after = proptest::option::of(any::<u64>());
        (any::<[u64; 6]>(), next, any::<u16>(), after).prop_map(|(n, next, status, after)| {
            let report = AttemptReport {
                started_at: n[2],
                duration_ms: n[3],
                connect_ms: after,
                outcome: Outcome::Retryable { after_ms: after },
                request: RequestHead { method: "POST".into(), url: "http://x/".into(), headers: Vec::new() },
                response: Some(ResponseHead { status, headers: Vec::new(), body: Bytes::from_static(b"no") }),
                error: None,
                fault: None,
                command: None,
            };
            let delivery = DeliveryId { seq: n[0], endpoint: 3 };
            let (event, prev, position, low) = (n[1], n[4], after, n[5]);
            Record::AttemptFinished(Box::new(AttemptFinished {
                delivery,
                event,
                number: 9,
                report,
                next,
                prev,
                position,
                low,
                key: after,
                spared: n[5] % 2 == 0,
                failing_ms: n[4],
            }))
        })
    }

    fn waiting(n: [u64; 4]) -> Waiting {
        let delivery = DeliveryId { seq: n[0], endpoint: 1 };
        Waiting { delivery, position: n[1], event: n[2], attempts: 2, last: n[3], key: Some(n[0]) }
    }

    fn replay(n: [u64; 4]) -> Replay {
        let filter = ReplayFilter { since: Some(n[1]), ..ReplayFilter::default() };
        Replay { id: n[0], filter, next: n[2], end: n[3], rate: None, started_at: 0 }
    }

    fn record() -> impl Strategy<Value = Record> {
        let ids = proptest::collection::vec(any::<u32>(), 0..20);
        let dedupe = proptest::option::of(any::<u64>());
        let accepted = (event(), dedupe, ids.clone());
        prop_oneof![
            accepted.prop_map(|(event, dedupe, fan_out)| Record::EventAccepted { event, dedupe, fan_out }),
            (event(), ids).prop_map(|(event, fan_out)| Record::EventCarried { seq: 4, event, fan_out }),
            attempt(),
            "\\PC{0,20}".prop_map(|name| Record::SourceSet { source: Box::new(Source::new(name, "none")) }),
            "\\PC{0,20}".prop_map(|name| Record::EndpointSet { endpoint: Box::new(Endpoint::new(name, "http://x/")) }),
            any::<[u64; 3]>().prop_map(|n| Record::EventImported { event: n[0], identity: n[1], at: n[2] }),
            any::<[u64; 4]>().prop_map(|n| Record::DeliveriesCarried { waiting: vec![waiting(n)] }),
            any::<[u64; 4]>().prop_map(|n| Record::PlaceCarried { waiting: waiting(n) }),
            any::<[u64; 4]>().prop_map(|n| Record::ReplayStarted { replay: replay(n) }),
            (any::<[u64; 3]>(), any::<[u8; 32]>()).prop_map(|(n, head)| Record::SegmentDropped {
                first: n[0],
                last: n[1],
                head,
                at: n[2]
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(record in record()) {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            prop_assert_eq!(decode(&bytes).expect("reads back"), record);
        }

        #[test]
        fn damaged_bytes_never_panic(
            record in record(), at in any::<proptest::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            let _ = decode(&bytes);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
            let _ = decode(&[&[VERSION], &bytes[..]].concat());
        }
    }

    #[test]
    fn what_is_not_ours_is_told_apart() {
        assert!(matches!(decode(&[]), Err(RecordError::Empty)));
        assert!(matches!(decode(&[VERSION + 1, 0]), Err(RecordError::Newer(_))));
        let mut bytes = Vec::new();
        encode(&Record::SourceDeleted { source: 1 }, &mut bytes);
        bytes.push(0);
        assert!(matches!(decode(&bytes), Err(RecordError::Trailing(1))));
        let bytes = [&[VERSION, 0x81, 0xAB][..], b"MoonSettled", &[0x91, 1]].concat();
        assert!(matches!(decode(&bytes), Err(RecordError::UnknownKind(_))), "{:?}", decode(&bytes));
    }
}
