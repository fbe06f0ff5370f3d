//! The way of a request whose KV came from a tier behind its replica's blocks, up to when it was there.

use super::cause::Cause;
use super::walk::{Visit, Walk};
use crate::trace::KvLoad;

impl Walk<'_> {
    /// Walks up to when its KV was there, which is when it could run. Says whether it ever was.
    pub(super) fn loaded(&mut self, load: &KvLoad, visit: &mut impl Visit) -> bool {
        let (lane, end) = (self.lane, self.trace.end);
        let entered = self.places.entered(self.request, self.row);
        self.waits_for_memory(lane, (entered, load.begun), Cause::KvLoad, visit);
        if load.begun < end {
            let moved = load.landed.min(end).since(load.begun).as_nanos();
            self.gap.split.add(Cause::KvLoad, moved);
        }
        self.turn_to(lane, self.id, load.landed);
        load.landed <= end
    }
}
