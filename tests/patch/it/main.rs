//! What `sedge::patch` promises, shown with crates and C libraries that never heard of sedge.

mod clients;
mod sleeping;
