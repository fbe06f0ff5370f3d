//! Who runs when: schedulers beside the systems that they are named after, the fast path beside the
//! slow one, pipelines and pools.

#[path = "../common/alike.rs"]
mod alike;
mod bulk_verbs;
mod controllers;
mod destination_first;
mod disaggregation;
mod front_end;
#[path = "../common/golden.rs"]
mod golden;
mod golden_routing;
mod golden_schedulers;
mod golden_sglang;
mod golden_sglang_replica;
mod kv_tiers;
mod llama_decodes;
mod lockstep;
mod modelled_schedulers;
mod observation;
mod offload;
mod pipeline;
#[path = "../common/played.rs"]
mod played;
mod pools;
mod published;
mod published_routers;
mod queueing;
#[path = "../common/random.rs"]
mod random;
mod random_schedulers;
mod reference;
mod session_workloads;
mod sessions;
#[path = "../common/shared.rs"]
mod shared;
#[path = "../common/small.rs"]
mod small;
mod swarm;
mod threads;
mod timing;
mod unshared;
