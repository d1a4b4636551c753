//! What a run saw.

/// What a run saw.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub acknowledged: u64,
    pub duplicates: u64,
    pub attempts: u64,
    pub delivered: u64,
    pub dead: u64,
    pub crashes: u64,
    pub dropped_segments: u64,
    pub relocated_events: u64,
    pub relocated_positions: u64,
    pub replays: u64,
    pub batches: u64,
    pub halved: u64,
    pub superseded: u64,
    pub uncounted: u64,
    pub parked: u64,
    pub held: u64,
    pub too_old: u64,
    pub paused_over_crashes: u64,
    /// How long the lives with faults were.
    pub virtual_ms: u64,
    /// Deliveries to endpoints that nothing may keep.
    pub witnessed: u64,
    /// Stands for all that happened: equal where the same happened at the same times.
    pub trace: u64,
}

impl Totals {
    /// What many worlds have to contain, and these do not.
    pub fn missing(&self) -> Vec<&'static str> {
        let events = [
            ("acknowledged", self.acknowledged),
            ("duplicates", self.duplicates),
            ("delivered", self.delivered),
            ("dead", self.dead),
            ("crashes", self.crashes),
            ("dropped segments", self.dropped_segments),
            ("relocated events", self.relocated_events),
            ("relocated positions", self.relocated_positions),
            ("replays", self.replays),
        ];

        let restraints = [
            ("batches", self.batches),
            ("halves", self.halved),
            ("superseded", self.superseded),
            ("attempts that do not count", self.uncounted),
            ("parked", self.parked),
            ("held", self.held),
            ("too old", self.too_old),
            ("pauses over crashes", self.paused_over_crashes),
            ("witnessed", self.witnessed),
        ];
        let all = events.into_iter().chain(restraints);
        all.filter(|(_, count)| *count == 0).map(|(what, _)| what).collect()
    }

    pub fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.duplicates += other.duplicates;
        self.attempts += other.attempts;
        self.delivered += other.delivered;
        self.dead += other.dead;
        self.crashes += other.crashes;
        self.dropped_segments += other.dropped_segments;
        self.relocated_events += other.relocated_events;
        self.relocated_positions += other.relocated_positions;

        self.replays += other.replays;
        self.batches += other.batches;
        self.halved += other.halved;
        self.superseded += other.superseded;
        self.uncounted += other.uncounted;
        self.parked += other.parked;
        self.held += other.held;
        self.too_old += other.too_old;
        self.paused_over_crashes += other.paused_over_crashes;
        self.virtual_ms += other.virtual_ms;
        self.witnessed += other.witnessed;
        self.trace = self.trace.wrapping_add(other.trace);
    }
}
