//! The pulse of a connection: whether it has requests in service, and whether it is to end. Shared
//! by the connection's task, its stream and its requests.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use tokio::sync::Notify;

/// Whether requests are in service, as the connection's task sees it.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    in_service: AtomicU32,
    /// Grows whenever a request begins or ends.
    beats: AtomicU32,
    /// A head of HTTP/1 has begun and is not complete.
    in_head: AtomicBool,
    /// Why that head is refused, as a number; 0 when it is not.
    cut: AtomicU8,
    /// The connection is to end.
    end: Notify,
}

/// Why a head that is not complete is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadCut {
    TooSlow = 1,
    NoMemory = 2,
}

impl Pulse {
    pub fn request_begins(&self) {
        self.in_service.fetch_add(1, Ordering::Relaxed);
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    pub fn request_ends(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.in_service.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn beats(&self) -> u32 {
        self.beats.load(Ordering::Relaxed)
    }

    pub fn is_busy(&self) -> bool {
        self.in_service.load(Ordering::Relaxed) > 0
    }

    pub fn set_in_head(&self, in_head: bool) {
        self.in_head.store(in_head, Ordering::Relaxed);
    }

    /// Why the head that has begun is refused, if it is.
    pub fn head_cut(&self) -> Option<HeadCut> {
        let cut = self.cut.load(Ordering::Relaxed);
        [HeadCut::TooSlow, HeadCut::NoMemory].into_iter().find(|why| *why as u8 == cut)
    }

    pub fn cut_head(&self, why: HeadCut) {
        self.cut.store(why as u8, Ordering::Relaxed);
    }

    /// Has a head that has begun refused as too slow. False when none has begun.
    pub fn refuse_slow_head(&self) -> bool {
        let in_head = self.in_head.load(Ordering::Relaxed);
        if in_head {
            self.cut_head(HeadCut::TooSlow);
        }
        in_head
    }

    /// Has the connection end once what is in service is answered.
    pub fn end(&self) {
        self.end.notify_one();
    }

    /// Waits for [`Self::end`].
    pub async fn ended(&self) {
        self.end.notified().await;
    }
}
