//! One API server of the deployment: it alone decides for the requests that reach it.

/// What an engine says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineLoad {
    /// Requests in its waiting queue.
    pub waiting: u32,
    /// Requests that hold a seat.
    pub running: u32,
    /// The share of its KV blocks in use, from 0 to 1.
    pub kv_use: f64,
}

/// What an API server knows, and how it chooses by it
/// (vLLM 0.33.0, `DPLBAsyncMPClient.get_core_engine_for_request`).
#[derive(Clone, Debug)]
pub struct DpClient {
    /// API servers there are: one request of its own stands for so many.
    clients: u32,
    /// Where the next scan begins.
    start: usize,
    /// The coordinator's last word, with what was sent since.
    snapshot: Vec<EngineLoad>,
    /// Its own requests at each engine that have not come to their end.
    own: Vec<u32>,
}

/// A KV use above this makes waiting requests count more.
const KV_USE_WITHOUT_PENALTY: f64 = 0.5;
/// By how much, for each waiting request and all KV blocks.
const KV_PENALTY: f64 = 6.0;

impl DpClient {
    /// API server number `index` of `clients`, before so many `engines`.
    pub fn new(engines: usize, clients: u32, index: u32) -> DpClient {
        assert!(engines > 0 && index < clients, "an engine and a client at least");
        DpClient {
            clients,
            start: (engines as u64 * u64::from(index) / u64::from(clients)) as usize,
            snapshot: vec![EngineLoad::default(); engines],
            own: vec![0; engines],
        }
    }

    /// Takes the coordinator's word: all that was counted since the last one is forgotten, but for
    /// its own requests.
    pub fn hear(&mut self, loads: &[EngineLoad]) {
        self.snapshot.copy_from_slice(loads);
    }

    /// The load that it sees at an engine.
    pub fn score(&self, engine: usize) -> f64 {
        let EngineLoad { waiting, running, kv_use } = self.snapshot[engine];
        let own = u64::from(self.clients) * u64::from(self.own[engine]);
        let load = own.max(u64::from(waiting) + u64::from(running)) as f64;
        // Without the branch an empty queue would come to the same.
        let over = (kv_use - KV_USE_WITHOUT_PENALTY).max(0.0);
        load + f64::from(waiting) * KV_PENALTY * over
    }

    /// The engine for the next request: the first with the lowest score, from where the scan stands.
    pub fn choose(&mut self) -> usize {
        let engines = self.own.len();
        let scan = (0..engines).map(|k| (self.start + k) % engines);
        let lowest = scan.min_by(|&one, &other| self.score(one).total_cmp(&self.score(other)));
        let engine = lowest.expect("an engine at least");
        let waiting = &mut self.snapshot[engine].waiting;
        *waiting = waiting.saturating_add(self.clients);
        self.start = (self.start + 1) % engines;
        self.sent(engine);
        engine
    }

    /// A request has gone to an engine that whoever asked had named.
    pub fn sent(&mut self, engine: usize) {
        self.own[engine] += 1;
    }

    /// One of its requests at an engine has come to its end.
    pub fn ended(&mut self, engine: usize) {
        self.own[engine] -= 1;
    }

    /// Where the next scan begins.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Requests waiting at each engine, as it sees them.
    pub fn waiting(&self) -> impl Iterator<Item = u32> + '_ {
        self.snapshot.iter().map(|load| load.waiting)
    }

    /// Its own requests outstanding at each engine.
    pub fn own(&self) -> &[u32] {
        &self.own
    }
}
