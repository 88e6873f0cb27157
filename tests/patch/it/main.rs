//! What `sedge::patch` promises, shown with crates and C libraries that never heard of sedge.

#![expect(unsafe_code, reason = "calls libc as programs in C do")]

mod calls;
mod cancel;
mod children;
mod copies;
mod detector;
mod names;
mod passing;
mod pipes;
mod rough;
mod sleeping;
mod std_net;
mod streams;
mod waiting;
