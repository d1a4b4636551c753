use super::generation::{DedupeEntry, Generation};
use super::{COUNTED, Dedupe, DedupeVerdict, FRESH};
use crate::model::{EventId, Fingerprints, limits};

const NONE: Fingerprints =
    Fingerprints { content: None, also: None, conflicts_with: None, also_for_ms: 0 };

fn content(content: u64) -> Fingerprints {
    Fingerprints { content: Some(content << 32), ..NONE }
}

fn spread(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[test]
fn found_within_the_window_only() {
    let mut seen = Dedupe::default();
    seen.insert(1, Some(7), &NONE, (1, 10_000), 0);
    assert_eq!(seen.find(7, 10_000), Some(1));
    assert_eq!(seen.find(7, 11_000), None);
    assert_eq!(seen.find(8, 0), None);
    assert_eq!(seen.verdict(2, Some(7), &NONE, 0), DedupeVerdict::New, "another source's");
}

#[test]
fn the_same_key_with_other_content_is_another_event_with_duplicates_of_its_own() {
    let mut seen = Dedupe::default();
    seen.insert(1, Some(7), &content(1), (10, 5), 0);
    assert_eq!(seen.verdict(1, Some(7), &content(1), 0), DedupeVerdict::Duplicate(10));
    assert_eq!(seen.verdict(1, Some(7), &NONE, 0), DedupeVerdict::Duplicate(10));

    for (seq, other) in [(11, 2), (12, 3)] {
        assert_eq!(seen.verdict(1, Some(7), &content(other), 0), DedupeVerdict::Conflict(10));

        let id = EventId { seq: 10, tag: 0 };
        let beside = Fingerprints { conflicts_with: Some(id), ..content(other) };
        seen.insert(1, Some(7), &beside, (seq, 5), 0);
        assert_eq!(seen.verdict(1, Some(7), &content(other), 0), DedupeVerdict::Duplicate(seq));
    }
    // In any order, and after a restart.
    let seen: Dedupe = rmp_serde::from_slice(&rmp_serde::to_vec(&seen).unwrap()).unwrap();
    assert_eq!(seen.verdict(1, Some(7), &content(1), 0), DedupeVerdict::Duplicate(10));
    assert_eq!(seen.verdict(1, Some(7), &content(2), 0), DedupeVerdict::Duplicate(11));
    assert_eq!(seen.verdict(1, Some(7), &content(4), 0), DedupeVerdict::Conflict(10));
    assert_eq!(seen.conflicts(1), 2);
}

#[test]
fn a_second_fingerprint_is_enough_whatever_the_key() {
    let mut seen = Dedupe::default();
    let also = |also| Fingerprints { also: Some(also), ..content(1) };
    seen.insert(1, Some(7), &also(100), (10, 5), 0);
    assert_eq!(seen.verdict(1, Some(8), &also(100), 0), DedupeVerdict::Duplicate(10));
    assert_eq!(seen.verdict(1, None, &also(100), 0), DedupeVerdict::Duplicate(10));
    assert_eq!(seen.verdict(1, Some(8), &also(101), 0), DedupeVerdict::New);
    assert_eq!(seen.verdict(2, Some(8), &also(100), 0), DedupeVerdict::New);
}

#[test]
fn frozen_and_merged_entries_are_still_found_with_their_content() {
    let mut seen = Dedupe::default();
    let count = FRESH as u64 * 20 + 5;
    for n in 0..count {
        seen.insert(1, Some(spread(n)), &content(n + 1), (n + 1, n * 10), 0);
    }
    for n in (0..count).step_by(997) {
        assert_eq!(
            seen.verdict(1, Some(spread(n)), &content(n + 1), 0),
            DedupeVerdict::Duplicate(n + 1)
        );
        assert_eq!(
            seen.verdict(1, Some(spread(n)), &content(n + 2), 0),
            DedupeVerdict::Conflict(n + 1)
        );
    }
    let generations = seen.shares[&1].frozen.len();
    assert!(generations < 12, "{generations} generations");
}

#[test]
fn the_number_of_keys_is_bounded_and_keys_older_than_the_window_are_forgotten() {
    let mut seen = Dedupe::default();
    let most = limits::DEDUPE_KEYS as u64;
    for n in 0..(most + 3 * FRESH as u64) {
        seen.insert(1, Some(spread(n)), &NONE, (n, n), 0);
    }
    assert!(seen.len() <= limits::DEDUPE_KEYS + FRESH);
    assert_eq!(seen.find(spread(most), 0), Some(most));

    let mut short = Dedupe::default();
    for n in 0..(FRESH as u64 * 30) {
        short.insert(1, Some(spread(n)), &NONE, (n, n * 1000), (n * 1000).saturating_sub(60_000));
    }
    assert!(short.len() < FRESH * 10, "{}", short.len());
}

#[test]
fn no_source_pushes_out_anothers_share() {
    let mut seen = Dedupe::default();
    seen.insert(1, Some(7), &content(1), (1, 0), 0);
    for n in 0..(limits::DEDUPE_KEYS as u64 + 20 * FRESH as u64) {
        seen.insert(2 + u32::try_from(n % 2).unwrap() * 5, Some(spread(n)), &NONE, (n + 2, 0), 0);
    }
    assert_eq!(seen.verdict(1, Some(7), &content(1), 0), DedupeVerdict::Duplicate(1));
    assert!(seen.len() <= limits::DEDUPE_KEYS + 2 * FRESH);

    let held = |source| seen.shares[&source].len();
    assert!(held(2).abs_diff(held(7)) < FRESH * 10, "{} and {}", held(2), held(7));
    assert!(
        seen.take_forgetful().is_some_and(|source| source != 1) && seen.take_forgetful().is_none()
    );

    // The largest gives even where it has nothing frozen.
    let mut many = Dedupe::default();
    for n in 0..(limits::DEDUPE_KEYS as u64 + 4096) {
        many.insert(u32::try_from(n % 400).unwrap() + 1, Some(spread(n)), &NONE, (n, 0), 0);
    }
    assert!(many.len() <= limits::DEDUPE_KEYS + 400 * COUNTED, "{}", many.len());

    seen.forget_source(2);
    assert_eq!(seen.shares.len(), 2);
}

/// As a log without shares had it.
#[test]
fn keys_older_than_shares_are_known_and_forgotten_first() {
    let mut old = Dedupe::default();
    old.fresh.insert(7, (3, 1000));
    let entries = (0..100).map(|n| (spread(n), DedupeEntry { seq: n, at: 0, check: 0 })).collect();
    let mut generation = Generation::freeze(entries);
    generation.checks.clear();
    old.frozen.push(generation);
    let bytes = rmp_serde::to_vec(&(&old.fresh, &old.frozen)).unwrap();
    let mut old: Dedupe = rmp_serde::from_slice(&bytes).expect("what an older version wrote");
    assert_eq!(old.verdict(1, Some(7), &content(9), 0), DedupeVerdict::Duplicate(3));
    assert_eq!(old.verdict(1, Some(spread(9)), &content(9), 0), DedupeVerdict::Duplicate(9));

    for n in 1000..(1000 + limits::DEDUPE_KEYS as u64) {
        old.insert(1, Some(spread(n)), &NONE, (n, 0), 0);
    }
    assert!(old.frozen.is_empty());
    assert_eq!(old.find(spread(1001), 0), Some(1001));
}
