//! Transfers under way: when each of them is over, as others begin and end.

use super::links::{LinkId, Links};
use crate::time::{Span, Time};

/// A transfer, by the order in which they were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub u32);

/// Bytes that flow.
#[derive(Clone, Debug)]
struct Flow {
    id: TransferId,
    over: Vec<LinkId>,
    /// Bytes left.
    left: f64,
    /// Bytes a nanosecond.
    rate: f64,
    /// When the last of them arrives, if nothing changes.
    end: Time,
}

/// Transfers that are being set up.
#[derive(Clone, Debug)]
struct Coming {
    flows_at: Time,
    id: TransferId,
    over: Vec<LinkId>,
    bytes: u64,
}

/// Transfers under way over some links.
#[derive(Clone, Debug)]
pub struct Flows {
    links: Links,
    coming: Vec<Coming>,
    flowing: Vec<Flow>,
    /// Up to when `left` is known.
    now: Time,
    /// Bytes that each link has carried.
    carried: Vec<f64>,
    /// Nanoseconds in which each link carried something.
    busy: Vec<u64>,
    next: Time,
}

impl Flows {
    /// None yet.
    pub fn over(links: Links) -> Flows {
        let count = links.len();
        Flows {
            links,
            coming: Vec::new(),
            flowing: Vec::new(),
            now: Time::ZERO,
            carried: vec![0.0; count],
            busy: vec![0; count],
            next: Time::NEVER,
        }
    }

    /// A transfer begins `now`: its bytes flow over these links when `before` has passed.
    pub fn begin(&mut self, now: Time, id: TransferId, before: Span, bytes: u64, over: &[LinkId]) {
        let (flows_at, over) = (now + before, over.to_vec());
        self.coming.push(Coming { flows_at, id, over, bytes });
        self.next = self.next.min(flows_at);
    }

    /// When something changes next; [`Time::NEVER`] where nothing is under way.
    #[inline]
    pub fn next(&self) -> Time {
        self.next
    }

    /// Bytes that a link has carried, and nanoseconds in which it carried something.
    pub fn use_of(&self, link: LinkId) -> (f64, u64) {
        (self.carried[link.0 as usize], self.busy[link.0 as usize])
    }

    /// The links.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Lets `now` come, which is no later than what is [due next](Flows::next): transfers that are over
    /// by then, in the order in which they were asked for.
    pub fn turn_to(&mut self, now: Time) -> Vec<TransferId> {
        self.flow_until(now);
        let mut over: Vec<TransferId> = Vec::new();
        self.flowing.retain(|flow| {
            let ends = flow.end <= now;
            if ends {
                over.push(flow.id);
            }
            !ends
        });
        let mut begun = Vec::new();
        self.coming.retain_mut(|coming| {
            let begins = coming.flows_at <= now;
            if begins {
                let over = std::mem::take(&mut coming.over);
                begun.push(Flow {
                    id: coming.id,
                    over,
                    left: coming.bytes as f64,
                    rate: 0.0,
                    end: now,
                });
            }
            !begins
        });
        // What has no bytes, or no link, is there at once.
        for flow in begun {
            match flow.left > 0.0 && !flow.over.is_empty() {
                true => self.flowing.push(flow),
                false => over.push(flow.id),
            }
        }
        over.sort_unstable();
        self.share();
        over
    }

    fn flow_until(&mut self, now: Time) {
        let lasted = now.since(self.now).as_nanos();
        self.now = now;
        if lasted == 0 {
            return;
        }
        let mut used = vec![false; self.links.len()];
        for flow in &mut self.flowing {
            let bytes = (flow.rate * lasted as f64).min(flow.left);
            flow.left -= bytes;
            for link in &flow.over {
                self.carried[link.0 as usize] += bytes;
                used[link.0 as usize] = true;
            }
        }
        for (busy, _) in self.busy.iter_mut().zip(used).filter(|(_, used)| *used) {
            *busy += lasted;
        }
    }

    /// Shares the links anew.
    fn share(&mut self) {
        let over: Vec<&[LinkId]> = self.flowing.iter().map(|flow| flow.over.as_slice()).collect();
        let rates = self.links.shares(&over);
        for (flow, rate) in self.flowing.iter_mut().zip(rates) {
            flow.rate = rate;
            // Up to a nanosecond later than exactly; time moves.
            let rest = libm::ceil(flow.left / rate).max(1.0) as u64;
            flow.end = self.now + Span::from_nanos(rest);
        }
        let ends = self.flowing.iter().map(|flow| flow.end);
        let begins = self.coming.iter().map(|coming| coming.flows_at);
        self.next = ends.chain(begins).min().unwrap_or(Time::NEVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    /// Plays all to the end: when each is over.
    fn ends(flows: &mut Flows) -> Vec<(u64, u32)> {
        let mut all = Vec::new();
        while flows.next() != Time::NEVER {
            let now = flows.next();
            for id in flows.turn_to(now) {
                all.push((now.as_nanos() / 1_000_000, id.0));
            }
        }
        all
    }

    fn links(gb_per_s: &[f64]) -> (Links, Vec<LinkId>) {
        let mut links = Links::none();
        let ids = gb_per_s.iter().map(|gb| links.add(gb * 1e9)).collect();
        (links, ids)
    }

    #[test]
    fn alone_it_takes_its_set_up_and_its_bytes_over_the_bandwidth() {
        let (links, ids) = links(&[10.0, 5.0]);
        let mut flows = Flows::over(links);
        let setup = Span::from_nanos(3_000_000);
        flows.begin(at(0), TransferId(0), setup, GB, &ids);
        // 1 GB over the narrower of both: 200 ms.
        assert_eq!(ends(&mut flows), [(203, 0)]);
        let (bytes, busy) = flows.use_of(ids[0]);
        assert_eq!((bytes.round() as u64, busy), (GB, 200_000_000));
    }

    #[test]
    fn a_transfer_that_comes_in_between_halves_the_rate_until_one_is_over() {
        let (links, ids) = links(&[10.0]);
        let mut flows = Flows::over(links);
        flows.begin(at(0), TransferId(0), Span::ZERO, GB, &ids);
        flows.begin(at(0), TransferId(1), Span::from_nanos(50_000_000), GB / 4, &ids);
        // 0.5 GB flow in 50 ms; then 5 GB/s each: 0.25 GB take 50 ms, and 0.25 GB of the first are left for
        // 25 ms at the whole rate.
        assert_eq!(ends(&mut flows), [(100, 1), (125, 0)]);
    }

    #[test]
    fn nothing_to_carry_and_nothing_to_cross_take_no_time() {
        let (links, ids) = links(&[1.0]);
        let mut flows = Flows::over(links);
        flows.begin(at(2), TransferId(1), Span::ZERO, 0, &ids);
        flows.begin(at(2), TransferId(0), Span::ZERO, GB, &[]);
        assert_eq!(ends(&mut flows), [(2, 0), (2, 1)]);
        assert_eq!(flows.next(), Time::NEVER);
    }

    /// However they share, a link that is never without work carries what it can.
    #[test]
    fn a_full_link_carries_its_bandwidth() {
        let (links, ids) = links(&[4.0]);
        let mut flows = Flows::over(links);
        for i in 0..8_u32 {
            flows.begin(at(0), TransferId(i), Span::ZERO, u64::from(i + 1) * GB / 36, &ids);
        }
        let ends = ends(&mut flows);
        // 1 GB at 4 GB/s, the smallest first.
        assert_eq!(ends.last(), Some(&(250, 7)));
        assert!(ends.iter().map(|&(_, id)| id).eq(0..8));
    }
}
