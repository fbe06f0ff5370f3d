//! For which reasons of its own a request was left out of batches, where its scheduler says so request
//! by request.

use std::collections::BTreeMap;

use super::index::Index;
use crate::replica::Held;
use crate::request::RequestId;
use crate::time::Time;

/// Nanoseconds by reason ([`Held::name`]) within a stretch of time; empty where its scheduler gives
/// none for it. A reason stands from the start of the batch that was formed with it until another is
/// given or the request is scheduled.
pub(super) fn left_out(
    index: &Index<'_>,
    request: RequestId,
    (from, to): (Time, Time),
) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let lane = &index.lanes[index.lane(request).index()];
    let mut stands: Option<(Held, Time)> = None;
    let mut add = |stands: Option<(Held, Time)>, until: Time| {
        let Some((reason, since)) = stands else { return };
        let (since, until) = (since.max(from), until.min(to));
        if until > since {
            let ns: &mut u64 = found.entry(reason.name().to_owned()).or_default();
            *ns += until.since(since).as_nanos();
        }
    };
    for (number, reasons) in lane.log.reasons() {
        let own = reasons.iter().rfind(|(of, _)| *of == request);
        let Some(&(_, reason)) = own else { continue };
        let start = lane.log.start(number);
        add(stands.take(), start);
        stands = reason.map(|reason| (reason, start));
    }
    add(stands, to);
    found
}
