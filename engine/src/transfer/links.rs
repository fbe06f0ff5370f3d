//! Links, and the rates at which flows share them.

/// A link, by its place among all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// The links of a fleet, one way each.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// Bytes a nanosecond of each.
    capacity: Vec<f64>,
}

impl Links {
    /// None yet.
    pub fn none() -> Links {
        Links::default()
    }

    /// One more, of so many bytes a second.
    ///
    /// # Panics
    /// When nothing could ever cross it.
    pub fn add(&mut self, bytes_per_s: f64) -> LinkId {
        assert!(bytes_per_s > 0.0, "a link carries something");
        self.capacity.push(bytes_per_s / 1e9);
        LinkId(self.capacity.len() as u32 - 1)
    }

    /// Bytes a second of one.
    pub fn bytes_per_s(&self, link: LinkId) -> f64 {
        self.capacity[link.0 as usize] * 1e9
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.capacity.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.capacity.is_empty()
    }

    /// The max-min fair rate of each of some flows, bytes a nanosecond: no flow can have more without
    /// taking from one that has no more than it (progressive filling; Bertsekas and Gallager, "Data
    /// Networks", 1992, section 6.5.2). A flow over no link has no limit.
    pub fn shares(&self, flows: &[&[LinkId]]) -> Vec<f64> {
        let mut rates = vec![f64::INFINITY; flows.len()];
        let mut left = self.capacity.clone();
        let mut crossing = vec![0_u32; left.len()];
        for link in flows.iter().flat_map(|over| over.iter()) {
            crossing[link.0 as usize] += 1;
        }
        let mut open: Vec<usize> = (0..flows.len()).filter(|&i| !flows[i].is_empty()).collect();
        while !open.is_empty() {
            let share = |link: usize| left[link] / f64::from(crossing[link]);
            let used = (0..left.len()).filter(|&link| crossing[link] > 0);
            // Of links that are equally narrow the first.
            let narrowest = used.min_by(|&a, &b| share(a).total_cmp(&share(b)));
            let narrowest = narrowest.expect("an open flow crosses a link");
            let rate = share(narrowest);
            open.retain(|&flow| {
                let over = flows[flow];
                if over.iter().all(|link| link.0 as usize != narrowest) {
                    return true;
                }
                rates[flow] = rate;
                for link in over {
                    let link = link.0 as usize;
                    left[link] = (left[link] - rate).max(0.0);
                    crossing[link] -= 1;
                }
                false
            });
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates in GB/s of flows over links of so many GB/s.
    fn shares(links: &[f64], flows: &[&[u32]]) -> Vec<f64> {
        let mut all = Links::none();
        for gb in links {
            all.add(gb * 1e9);
        }
        let flows: Vec<Vec<LinkId>> =
            flows.iter().map(|over| over.iter().map(|&link| LinkId(link)).collect()).collect();
        let flows: Vec<&[LinkId]> = flows.iter().map(Vec::as_slice).collect();
        all.shares(&flows)
    }

    #[test]
    fn flows_over_one_link_share_it_equally() {
        assert_eq!(shares(&[12.0], &[&[0], &[0], &[0]]), [4.0, 4.0, 4.0]);
        assert_eq!(shares(&[12.0], &[]), [] as [f64; 0]);
    }

    #[test]
    fn what_one_flow_cannot_use_goes_to_the_others() {
        // Two leave the port of 10, one of them into a port of 2: the other has the 8 that are left.
        assert_eq!(shares(&[10.0, 2.0, 50.0], &[&[0, 1], &[0, 2]]), [2.0, 8.0]);
        // The textbook's line: a flow over both links and one over each.
        assert_eq!(shares(&[1.0, 2.0], &[&[0, 1], &[0], &[1]]), [0.5, 0.5, 1.5]);
    }

    #[test]
    fn a_flow_over_no_link_has_no_limit() {
        assert_eq!(shares(&[1.0], &[&[], &[0]]), [f64::INFINITY, 1.0]);
    }

    /// No link carries more than it can, and each flow is held back by a link that is full and on which
    /// nobody has more than it: the definition.
    #[test]
    fn shares_are_max_min_fair() {
        let mut state = 1_u64;
        let mut draw = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..300 {
            let links: Vec<f64> = (0..1 + draw(5)).map(|_| 1.0 + draw(9) as f64).collect();
            let count = links.len() as u64;
            let flows: Vec<Vec<u32>> = (0..1 + draw(7))
                .map(|_| {
                    let (one, two) = (draw(count) as u32, draw(count) as u32);
                    if one == two { vec![one] } else { vec![one, two] }
                })
                .collect();
            let over: Vec<&[u32]> = flows.iter().map(Vec::as_slice).collect();
            let rates = shares(&links, &over);
            let carried = |link: u32| -> f64 {
                flows.iter().zip(&rates).filter(|(f, _)| f.contains(&link)).map(|(_, r)| r).sum()
            };
            for (link, capacity) in (0..).zip(&links) {
                assert!(carried(link) <= capacity + 1e-9, "{links:?} {flows:?} {rates:?}");
            }
            for (flow, rate) in flows.iter().zip(&rates) {
                let held_back = flow.iter().any(|&link| {
                    let full = carried(link) >= links[link as usize] - 1e-9;
                    let most = flows.iter().zip(&rates).filter(|(f, _)| f.contains(&link));
                    full && most.map(|(_, r)| *r).fold(0.0, f64::max) <= rate + 1e-9
                });
                assert!(held_back, "{links:?} {flows:?} {rates:?}");
            }
        }
    }
}
