//! The memory that requests hold, bounded for one address, for one source and for all of them
//! together. Pure.
//!
//! Every byte is claimed before it is allocated. Three bounds hold at the same time:
//!
//! * All requests together have the budget. Its last eighth is kept for requests with a body under
//!   [`limits::SMALL_BODY`], so that many large bodies never keep the small ones out.
//! * The requests of one address (of one /64 for IPv6) share a quarter of it, those to one source
//!   half of it. An eighth of each share is kept for small bodies, too.
//! * One request of each share may go beyond it, because one body may be larger than a share. It
//!   leaves a further eighth of the budget to requests that stay within theirs.
//!
//! Addresses of trusted proxies and of Unix sockets have no share: many clients are behind them.
//!
//! Full is a refusal (503), never a wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::share::ShareHolder;
use crate::model::{SourceId, limits};

/// The part of the budget, and of a share, that is kept for small bodies: one in this many.
const KEPT: usize = 8;

/// Whose share it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Peer(IpAddr),
    Source(SourceId),
}

impl Holder {
    /// The address, or for IPv6 its /64: whoever has one address of these has all.
    pub fn peer(ip: IpAddr) -> Self {
        Self::Peer(match ip.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
            ip @ IpAddr::V4(_) => ip,
        })
    }
}

impl From<Holder> for ShareHolder {
    fn from(holder: Holder) -> Self {
        match holder {
            Holder::Peer(ip) => Self::Address(ip),
            Holder::Source(id) => Self::Source(id),
        }
    }
}

/// Bytes that all requests together may hold.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    limit: usize,
    used: Mutex<BudgetUsage>,
}

#[derive(Debug, Default)]
struct BudgetUsage {
    all: usize,
    /// Of those that hold something now; an entry goes with its last claim.
    shares: HashMap<Holder, HolderUsage>,
}

#[derive(Debug, Default)]
struct HolderUsage {
    bytes: usize,
    claims: usize,
    /// One of the claims has gone beyond the share, and is not counted in it.
    is_exceeded: bool,
}

impl MemoryBudget {
    pub fn new(limit: usize) -> Self {
        Self { limit, used: Mutex::default() }
    }

    /// Begins an empty claim, for a request of these holders.
    pub fn claim(self: &Arc<Self>, holders: [Option<Holder>; 2]) -> Claim {
        let mut claim = self.nothing();
        claim.enter(holders, &mut self.used());
        claim
    }

    /// Begins a claim of so many bytes. Without them, and with the share that was full, when that
    /// exceeds a bound.
    pub fn claim_bytes(
        self: &Arc<Self>,
        holders: [Option<Holder>; 2],
        bytes: usize,
    ) -> Result<Claim, Claim> {
        let mut claim = self.nothing();
        let used = &mut *self.used();
        claim.enter(holders, used);
        if claim.grow_in(bytes, used) { Ok(claim) } else { Err(claim) }
    }

    /// A claim on nothing that is counted for nobody.
    pub fn nothing(self: &Arc<Self>) -> Claim {
        Claim { budget: self.clone(), bytes: 0, announced: 0, parts: [None; 2], full: None }
    }

    fn share_limit(&self, holder: Holder) -> usize {
        match holder {
            Holder::Peer(_) => self.limit / 4,
            Holder::Source(_) => self.limit / 2,
        }
    }

    /// Whether all requests together leave so many bytes to a claim with these parts. If not, whose
    /// share is full.
    fn check_all(
        &self,
        bytes: usize,
        is_small: bool,
        parts: &[Option<ClaimPart>; 2],
        used: &BudgetUsage,
    ) -> Result<(), ShareHolder> {
        let beyond = parts.iter().flatten().find(|part| part.exceeds);
        let eighth = self.limit / KEPT;
        let kept = match (is_small, beyond) {
            (true, _) => 0,
            (false, None) => eighth,
            (false, Some(_)) => 2 * eighth,
        };

        if used.all.saturating_add(bytes) <= self.limit - kept {
            return Ok(());
        }
        // One that has gone beyond a share is refused because of that: within its share it may have
        // been granted.
        Err(beyond.map_or(ShareHolder::All, |part| part.holder.into()))
    }

    fn used(&self) -> MutexGuard<'_, BudgetUsage> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that are held now.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.used().all
    }
}

/// One request's part of the budget, given back on drop.
#[derive(Debug)]
pub(super) struct Claim {
    budget: Arc<MemoryBudget>,
    bytes: usize,
    /// The announced length of its body.
    announced: usize,
    parts: [Option<ClaimPart>; 2],
    /// Whose share was full when it could not grow.
    full: Option<ShareHolder>,
}

/// A claim's part of one share.
#[derive(Clone, Copy, Debug)]
struct ClaimPart {
    holder: Holder,
    /// It has gone beyond the share.
    exceeds: bool,
}

impl Claim {
    /// Announces a body of this length: it decides whether the request is a small one, and nothing
    /// is claimed for it.
    pub fn announce(&mut self, length: usize) {
        self.announced = length;
    }

    /// Counts the claim in other shares: it became known whose request it is.
    pub fn move_to(&mut self, holders: [Option<Holder>; 2]) {
        let budget = self.budget.clone();
        let used = &mut *budget.used();
        self.leave(used);
        self.enter(holders, used);
    }

    /// Claims more bytes. False, and nothing claimed, when that exceeds a bound.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        if bytes == 0 {
            return true;
        }
        let budget = self.budget.clone();
        self.grow_in(bytes, &mut budget.used())
    }

    fn grow_in(&mut self, bytes: usize, used: &mut BudgetUsage) -> bool {
        let size = self.bytes.saturating_add(bytes).max(self.announced);
        let is_small = size <= limits::SMALL_BODY;

        // All bounds are asked before anything is counted.
        let parts = self.parts_with(bytes, is_small, used);
        let granted = parts.and_then(|parts| {
            self.budget.check_all(bytes, is_small, &parts, used)?;
            Ok(parts)
        });
        match granted {
            Ok(parts) => {
                self.count(bytes, parts, used);
                true
            }
            Err(full) => {
                self.full = Some(full);
                false
            }
        }
    }

    /// Its parts of the shares when it has so many bytes more. Where that is too much for a share,
    /// the claim goes beyond it, if no other claim has done so already; else the share is full.
    fn parts_with(
        &self,
        bytes: usize,
        is_small: bool,
        used: &mut BudgetUsage,
    ) -> Result<[Option<ClaimPart>; 2], ShareHolder> {
        let mut parts = self.parts;
        for part in parts.iter_mut().flatten().filter(|part| !part.exceeds) {
            let limit = self.budget.share_limit(part.holder);
            let limit = if is_small { limit } else { limit - limit / KEPT };
            let share = used.shares.entry(part.holder).or_default();
            if share.bytes.saturating_add(bytes) <= limit {
                continue;
            }
            if share.is_exceeded {
                return Err(part.holder.into());
            }
            part.exceeds = true;
        }
        Ok(parts)
    }

    /// Counts bytes that were granted.
    fn count(&mut self, bytes: usize, parts: [Option<ClaimPart>; 2], used: &mut BudgetUsage) {
        used.all += bytes;
        for (before, part) in self.parts.iter().flatten().zip(parts.iter().flatten()) {
            let share = used.shares.entry(part.holder).or_default();
            match (before.exceeds, part.exceeds) {
                (false, false) => share.bytes += bytes,
                // What goes beyond a share is not counted in it any more.
                (false, true) => {
                    share.bytes -= self.bytes;
                    share.is_exceeded = true;
                }
                (true, _) => {}
            }
        }
        self.parts = parts;
        self.bytes += bytes;
    }

    /// Gives back all but this many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        if less == 0 {
            return;
        }
        let budget = self.budget.clone();
        let used = &mut *budget.used();

        used.all -= less;
        for part in self.parts.iter_mut().flatten() {
            let share = used.shares.entry(part.holder).or_default();
            if !part.exceeds {
                share.bytes -= less;
            } else if share.bytes + bytes <= budget.share_limit(part.holder) {
                // What is left of it fits into the share again: another one may go beyond it.
                (part.exceeds, share.is_exceeded) = (false, false);
                share.bytes += bytes;
            }
        }

        self.bytes = bytes;
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whose share was full when it could not grow; reported once.
    pub fn take_full(&mut self) -> Option<ShareHolder> {
        self.full.take()
    }

    fn enter(&mut self, holders: [Option<Holder>; 2], used: &mut BudgetUsage) {
        self.parts =
            holders.map(|holder| holder.map(|holder| ClaimPart { holder, exceeds: false }));
        for part in self.parts.iter().flatten() {
            let share = used.shares.entry(part.holder).or_default();
            share.claims += 1;
            share.bytes += self.bytes;
        }
    }

    fn leave(&mut self, used: &mut BudgetUsage) {
        for part in self.parts.iter_mut().filter_map(Option::take) {
            let Some(share) = used.shares.get_mut(&part.holder) else { continue };
            share.claims -= 1;
            if part.exceeds {
                share.is_exceeded = false;
            } else {
                share.bytes -= self.bytes;
            }
            if share.claims == 0 {
                used.shares.remove(&part.holder);
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What counts for nobody and holds nothing is nothing to give back.
        if self.bytes == 0 && self.parts.iter().all(Option::is_none) {
            return;
        }

        let budget = self.budget.clone();
        let used = &mut *budget.used();
        self.leave(used);
        used.all -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Claim, Holder, MemoryBudget};
    use crate::model::limits;

    const MIB: usize = 1 << 20;

    fn peer(text: &str) -> Option<Holder> {
        Some(Holder::peer(text.parse().expect("an address")))
    }

    /// Claims of this size until one is refused.
    fn fill(budget: &Arc<MemoryBudget>, holders: [Option<Holder>; 2], bytes: usize) -> Vec<Claim> {
        let claims = (0..10_000).map_while(|_| {
            let mut claim = budget.claim(holders);
            claim.announce(bytes);
            claim.grow(bytes).then_some(claim)
        });
        claims.collect()
    }

    #[test]
    fn claims_are_bounded_together_and_given_back() {
        let budget = Arc::new(MemoryBudget::new(100));
        let (mut one, mut other) = (budget.claim([None; 2]), budget.claim([None; 2]));
        assert!(one.grow(60) && other.grow(40));
        assert!(!one.grow(1));
        assert!(!one.grow(usize::MAX));
        drop(other);
        assert!(one.grow(40));
        one.shrink_to(30);
        assert_eq!(budget.held(), 30);
        drop(one);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn one_address_leaves_the_others_their_part() {
        let budget = Arc::new(MemoryBudget::new(limits::INGEST_BYTES));
        let (one, other) = (peer("192.0.2.1"), peer("192.0.2.2"));
        let held = fill(&budget, [one, Some(Holder::Source(1))], MIB);
        let bytes: usize = held.iter().map(Claim::bytes).sum();
        assert!(bytes <= limits::INGEST_BYTES / 4 + MIB, "{bytes}");

        // Another one, to the same source or another, with bodies of any size; and small ones of
        // the first one's own.
        for holders in [[other, Some(Holder::Source(1))], [other, Some(Holder::Source(2))]] {
            assert!(fill(&budget, holders, MIB).len() >= 8);
        }
        assert!(fill(&budget, [one, Some(Holder::Source(1))], 1 << 10).len() > 1000);

        drop(held);
        assert!(budget.used().shares.is_empty() && budget.held() == 0);
    }

    #[test]
    fn one_body_of_the_largest_size_fits_beside_a_full_share_and_leaves_the_others_room() {
        let budget = Arc::new(MemoryBudget::new(limits::INGEST_BYTES));
        let largest = usize::try_from(limits::MAX_BODY).expect("fits");
        let holders = [peer("192.0.2.1"), Some(Holder::Source(1))];
        let share = fill(&budget, holders, MIB);
        let mut large = budget.claim([peer("192.0.2.9"), Some(Holder::Source(9))]);
        large.announce(largest);
        for _ in 0..largest / MIB {
            assert!(large.grow(MIB));
        }
        assert!(fill(&budget, [peer("192.0.2.3"), Some(Holder::Source(3))], MIB).len() >= 4);
        drop((share, large));
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn however_many_addresses_attack_one_source_others_go_on_and_small_bodies_go_everywhere() {
        let budget = Arc::new(MemoryBudget::new(limits::INGEST_BYTES));
        let mut held = Vec::new();
        for n in 0..200 {
            held.extend(fill(
                &budget,
                [peer(&format!("192.0.2.{n}")), Some(Holder::Source(1))],
                MIB,
            ));
        }
        assert!(fill(&budget, [peer("198.51.100.1"), Some(Holder::Source(2))], MIB).len() >= 4);
        assert!(
            fill(&budget, [peer("198.51.100.1"), Some(Holder::Source(1))], 4 << 10).len() > 100
        );
    }

    #[test]
    fn a_request_that_is_nearly_over_lets_another_one_go_beyond_the_share() {
        let budget = Arc::new(MemoryBudget::new(limits::INGEST_BYTES));
        let holders = [peer("192.0.2.1"), None];
        let (mut one, mut other) = (budget.claim(holders), budget.claim(holders));
        assert!(one.grow(20 * MIB) && !other.grow(20 * MIB));
        one.shrink_to(1000);
        assert!(other.grow(20 * MIB));
        assert_eq!(budget.held(), 20 * MIB + 1000);
        drop((one, other));
        assert!(budget.used().shares.is_empty() && budget.held() == 0);
    }

    #[test]
    fn a_request_is_counted_where_it_belongs() {
        let budget = Arc::new(MemoryBudget::new(limits::INGEST_BYTES));
        let (proxy, client) = (peer("192.0.2.1"), peer("192.0.2.2"));
        let mut claim = budget.claim([proxy, None]);
        assert!(claim.grow(1000));
        claim.move_to([client, Some(Holder::Source(1))]);
        let shares: Vec<_> = [proxy, client, Some(Holder::Source(1))]
            .into_iter()
            .map(|holder| budget.used().shares.get(&holder.expect("one")).map(|share| share.bytes))
            .collect();
        assert_eq!(shares, [None, Some(1000), Some(1000)]);
    }

    #[test]
    fn an_ipv6_client_is_its_net() {
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    }
}
