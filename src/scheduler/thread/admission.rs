//! What is taken into a step: the disk has to have space for it, and a large body is written before
//! its request is decided on.

use super::Thread;
use crate::model::Source;
use crate::model::share::{Share, ShareHolder};
use crate::queue::{Growth, Refusal};
use crate::scheduler::disk_thresholds::DiskLevel;
use crate::scheduler::envelope::Envelope;
use crate::scheduler::gathering::event_bytes;

impl Thread {
    /// Writes some blocks of the large body whose request is the next one, so that nobody waits for
    /// all of it. Returns whether it did: what is left is written with the request's commit.
    pub(super) fn write_ahead(&mut self) -> bool {
        let Some(request) = self.gathering.front() else { return false };
        let Some(body) = request.body().cloned() else { return false };

        // One that is going to be refused, or is a duplicate, would take up disk space in vain.
        let is_wanted = request.brings_events(&self.core.queue, (self.clock)())
            && self.lacks_space(request.growth(), 0, self.core.store.ahead_bytes()).is_none();
        if !is_wanted {
            return false;
        }

        let mut wrote = false;
        self.write(|log| {
            wrote = log.write_ahead(&body)?;
            Ok(())
        });
        if wrote {
            self.gathering.end_turn_of_large();
        }
        wrote
    }

    pub(super) fn admit_alone(&self, request: Envelope) -> Vec<Envelope> {
        let written = self.core.store.ahead_bytes();
        let admitted = self.admit_beside(request, 0, written);
        admitted.into_iter().map(|(request, _)| request).collect()
    }

    /// Takes a request in, and about how many bytes came with it. `None` when it is refused,
    /// because the disk is too full for what it adds.
    pub(super) fn admit(&self, request: Envelope, so_far: usize) -> Option<(Envelope, usize)> {
        self.admit_beside(request, so_far, 0)
    }

    /// The same when some of its bytes are `written` already.
    fn admit_beside(
        &self,
        mut request: Envelope,
        so_far: usize,
        written: usize,
    ) -> Option<(Envelope, usize)> {
        if let Some(why) = self.lacks_space(request.growth(), so_far, written) {
            request.refuse(Refusal::NoDiskSpace(why));
            return None;
        }

        let bytes = event_bytes(&request);
        if self.channels.health.disk.level() >= DiskLevel::Low {
            request.trim();
        }
        Some((request, bytes))
    }

    /// Why the disk has no space for what a request adds. What ends something always has it.
    fn lacks_space(&self, growth: Growth<'_>, so_far: usize, written: usize) -> Option<String> {
        let disk = &self.channels.health.disk;
        match growth {
            Growth::None => None,
            Growth::Settings => disk.refusal().filter(|_| disk.level() >= DiskLevel::Halted),
            Growth::Backlog { .. } => disk.refusal(),
            Growth::Events { source, bytes } => {
                let left = (so_far + bytes).saturating_sub(written) as u64;
                disk.refuses(left).or_else(|| self.is_over_share(source?))
            }
        }
    }

    /// Why a source has to leave what is left of the disk to the others.
    fn is_over_share(&self, source: &Source) -> Option<String> {
        let disk = &self.channels.health.disk;
        if !disk.is_contested() {
            return None;
        }
        let why = self.core.queue.state().is_over_share(source)?;

        disk.report_share(&source.name, &why, (self.clock)().mono_ms);
        self.channels.shares.note(Share::LogSpace, ShareHolder::Source(source.id));
        Some(why)
    }
}
