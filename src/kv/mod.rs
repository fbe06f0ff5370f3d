//! Paged KV memory.
