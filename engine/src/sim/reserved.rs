//! Prompts that are computed when blocks are taken for them where they are answered: their requests wait
//! there first, and each chunk's KV sets out when the chunk is computed.

use super::Rejection;
use super::engine::Engine;
use super::hand_over::HandOvers;
use crate::content::Content;
use crate::ids::{ReplicaId, RequestId};
use crate::replica::Remote;
use crate::request::Request;
use crate::workload::Arriving;

impl Engine<'_> {
    /// Why a replica could never take blocks for a prompt before it is computed, where that is so: with nobody
    /// there, what is left free beside it is more than there is.
    pub(super) fn leaves_no_room(
        &self,
        request: &Request,
        replica: ReplicaId,
    ) -> Option<Rejection> {
        let handing = self.handing.as_ref().filter(|handing| handing.is_destination_first())?;
        let reserved = handing.setup.reserved_decode_tokens;
        let pool = self.servers[replica.index()].replica();
        (!pool.could_load(request, reserved))
            .then_some(Rejection::OverLimit("reserved_decode_tokens"))
    }

    /// Blocks are taken for a request's answer: its prompt comes to the queue of the replica that computes it.
    pub(super) fn prefill_for(&mut self, id: RequestId, arriving: &mut dyn Arriving) {
        let handing = self.handing.as_ref().expect("it hands over");
        let from = handing.handed[&id].from;
        let request = HandOvers::prompt_of(&handing.asked[id.index()]);
        self.enters(id, &request, from, arriving, None);
    }

    /// A request comes to the queue of a replica; its prompt's KV is fetched from there where others answer.
    pub(super) fn enters(
        &mut self,
        id: RequestId,
        request: &Request,
        at: ReplicaId,
        arriving: &mut dyn Arriving,
        content: Option<Content>,
    ) {
        let prefills = self.handing.is_some() && self.prefills_for_others(at);
        let server = &mut self.servers[at.index()];
        let content = match server.replica().knows_contents() {
            true => content.unwrap_or_else(|| arriving.content(id)),
            false => Content::default(),
        };
        let with = (content, arriving.session(id));
        let handle = server.replica_mut().arrive(id, arriving.number(id), request, with);
        if prefills {
            let remote = Remote { is_fetched: true, ..Remote::default() };
            server.replica_mut().is_remote(handle, remote);
        }
        server.arrived(handle);
        if server.can_decide() {
            self.calendar.wake(at);
        }
    }

    /// A step of a replica that prefills is over: what it computed of prompts that are not whole yet sets out.
    pub(super) fn send_chunks(&mut self, from: ReplicaId) {
        if !self.handing.as_ref().is_some_and(|handing| handing.is_destination_first()) {
            return;
        }
        for (request, computed) in self.servers[from.index()].take_chunks() {
            let asked = self.handing.as_ref().expect("it hands over").asked[request.index()];
            if computed < asked.prompt_tokens {
                self.send_up_to(request, computed);
            }
        }
    }
}
