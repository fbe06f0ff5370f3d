//! How requests go from replicas that prefill to replicas that decode.

use crate::replica::Failure;
use crate::time::Span;

use super::router::RouterKind;

/// The way of a request whose prompt one replica computes and another answers, in the order of vLLM's
/// NIXL connector: the prompt is computed first, its blocks are held there; the replica that decodes
/// takes blocks for all of it in the order of its own queue, and pulls (vLLM 0.33.0,
/// `kv_connector/v1/nixl/pull_scheduler.py`).
#[derive(Clone, Debug, PartialEq)]
pub struct Disaggregation {
    /// Which of the replicas that decode gets a request; that of the fleet chooses among those that
    /// prefill.
    pub decode_router: RouterKind,
    /// What a transfer takes.
    pub transfer: TransferSetup,
    /// The longest that blocks are held for a transfer that has not begun; for ever where there is none.
    pub kv_lease: Option<Span>,
    /// What becomes of a request whose KV is gone.
    pub on_failure: Failure,
    /// By pool: what joins its replicas to the others.
    pub ports: Vec<Port>,
}

/// What a transfer takes beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransferSetup {
    /// Before the first byte moves: the connector's own time and the link's latency.
    pub setup: Span,
    /// For each KV block that goes over, before the first byte moves.
    pub per_block: Span,
    /// Whether only those blocks go over that the replica which decodes does not have.
    pub missing_only: bool,
    /// Bytes a second of one link that all transfers share, in place of the replicas' ports.
    pub shared_bytes_per_s: Option<f64>,
}

/// What joins a replica to the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Port {
    /// Bytes a second, one way.
    pub bytes_per_s: f64,
    /// Bytes of a KV block on all GPUs of a replica.
    pub block_bytes: u64,
}
