//! Records to bytes and back: a version byte, then rmp-serde (structs as arrays).

use super::variants::Record;

/// The format this version writes. A record with a higher one was written by a later hookbox.
pub const VERSION: u8 = 1;

/// Bytes that are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the record is empty")]
    Empty,
    #[error(
        "the record has format {0}, this version reads up to {VERSION}: \
         use the hookbox that wrote it, or a later one"
    )]
    Newer(u8),
    #[error("the record is of a kind that this version does not know: {0}")]
    UnknownKind(rmp_serde::decode::Error),
    #[error("the record cannot be read: {0}")]
    Malformed(#[from] rmp_serde::decode::Error),
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
        let text = format!("there is no format {version}");
        return Err(RecordError::Malformed(rmp_serde::decode::Error::Syntax(text)));
    }

    let mut reader = rest;
    let mut decoder = rmp_serde::Deserializer::new(&mut reader);
    let record = serde::Deserialize::deserialize(&mut decoder).map_err(|error| match error {
        // serde's message about a variant whose name is not in the list.
        rmp_serde::decode::Error::Syntax(text) if text.starts_with("unknown variant") => {
            RecordError::UnknownKind(rmp_serde::decode::Error::Syntax(text))
        }
        error => RecordError::Malformed(error),
    })?;

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

    use super::super::{
        AttemptFinished, Consequence, OpenBreaker, Replay, ReplayFilter, Restraint, Wait,
        WaitingDelivery,
    };
    use super::{Record, RecordError, VERSION, decode, encode};
    use crate::model::{
        AttemptReport, DeliveryId, Endpoint, Event, EventId, Fingerprints, Header, HoldReason,
        Outcome, RequestHead, ResponseHead, Source,
    };

    fn event() -> impl Strategy<Value = Arc<Event>> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..2000);
        (any::<[u64; 3]>(), "\\PC{0,20}", proptest::option::of("\\PC{0,40}"), bytes).prop_map(
            |(n, name, key, body)| {
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
            },
        )
    }

    fn attempt() -> impl Strategy<Value = Record> {
        let next = prop_oneof![
            any::<[u64; 3]>().prop_map(|n| Consequence::Retry {
                due_at: n[0],
                delay_ms: n[1],
                age_ms: n[2]
            }),
            "\\PC{0,20}".prop_map(|reason| Consequence::Dead { reason }),
            Just(Consequence::Held { reason: HoldReason::Gone }),
            Just(Consequence::Delivered),
        ];
        let after = proptest::option::of(any::<u64>());
        (any::<[u64; 6]>(), next, any::<u16>(), after).prop_map(|(n, next, status, after)| {
            let report = AttemptReport {
                started_at: n[2],
                duration_ms: n[3],
                connect_ms: after,
                outcome: Outcome::Retryable { after_ms: after },
                request: RequestHead {
                    method: "POST".into(),
                    url: "http://x/".into(),
                    headers: Vec::new(),
                },
                response: Some(ResponseHead {
                    status,
                    headers: Vec::new(),
                    body: Bytes::from_static(b"no"),
                }),
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
                uncounted: n[5] % 2 == 0,
                failing_ms: n[4],
                born: n[3],
                ran_ms: n[4],
                restraint: (n[5] % 3 == 0).then(|| Box::new(restraint(n[4]))),
            }))
        })
    }

    fn restraint(n: u64) -> Restraint {
        let probe = Wait { until: n, wait_ms: 9 };
        let breaker = Some(OpenBreaker { since: n, probes: 2, probe });
        Restraint { failures: 12, failing_since: n, breaker, paused: Some(probe) }
    }

    fn waiting(n: [u64; 4]) -> WaitingDelivery {
        let delivery = DeliveryId { seq: n[0], endpoint: 1 };
        WaitingDelivery {
            delivery,
            position: n[1],
            event: n[2],
            attempts: 2,
            last: n[3],
            key: Some(n[0]),
            born: n[1],
        }
    }

    fn replay(n: [u64; 4]) -> Replay {
        let filter = ReplayFilter { since: Some(n[1]), ..ReplayFilter::default() };
        Replay {
            id: n[0],
            filter,
            next: n[2],
            end: n[3],
            rate: None,
            started_at: 0,
            due_at: 7,
            pause_ms: 8,
        }
    }

    fn record() -> impl Strategy<Value = Record> {
        let ids = proptest::collection::vec(any::<u32>(), 0..20);
        let dedupe = proptest::option::of(any::<u64>());
        let id = any::<Option<[u64; 2]>>().prop_map(|id| id.map(|[seq, tag]| EventId { seq, tag }));
        let beside =
            (any::<[Option<u64>; 2]>(), id).prop_map(|([content, also], conflicts_with)| {
                Fingerprints { content, also, conflicts_with }
            });

        let accepted = (event(), dedupe, ids.clone(), beside);
        prop_oneof![
            accepted.prop_map(|(event, dedupe, fan_out, beside)| Record::EventAccepted {
                event,
                dedupe,
                fan_out,
                beside,
                ran_ms: 5
            }),
            (event(), ids).prop_map(|(event, fan_out)| Record::EventRelocated {
                seq: 4,
                event,
                fan_out
            }),
            attempt(),
            "\\PC{0,20}"
                .prop_map(|name| Record::SourceSet { source: Box::new(Source::new(name, "none")) }),
            "\\PC{0,20}".prop_map(|name| Record::EndpointSet {
                endpoint: Box::new(Endpoint::new(name, "http://x/"))
            }),
            any::<[u64; 3]>().prop_map(|n| Record::EventImported {
                event: n[0],
                identity: n[1],
                at: n[2]
            }),
            (any::<[u64; 2]>(), proptest::collection::vec(any::<u32>(), 0..20)).prop_map(
                |(n, endpoints)| { Record::FilterUndecided { event: n[0], endpoints, at: n[1] } }
            ),
            any::<[u64; 3]>()
                .prop_map(|n| Record::DeadLettersForgotten { dead_letter_seqs: n.to_vec() }),
            any::<[u64; 4]>()
                .prop_map(|n| Record::DeliveriesRelocated { waiting: vec![waiting(n)] }),
            any::<[u64; 4]>().prop_map(|n| Record::StreamPositionRelocated { waiting: waiting(n) }),
            any::<[u64; 4]>().prop_map(|n| Record::RecordsLost {
                first: n[0],
                last: n[1],
                kept: vec![(3, n[2])],
                at: n[3]
            }),
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
        fn every_record_reads_back_as_it_was_written(record in record()) {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            prop_assert_eq!(decode(&bytes).expect("reads back"), record);
        }

        #[test]
        fn damaged_bytes_never_panic(
            record in record(),
            at in any::<proptest::sample::Index>(),
            bit in 0u8..8,
            cut in any::<bool>(),
        ) {
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
    fn bytes_that_are_no_record_are_refused_by_kind() {
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
