//! One worker process per core, supervised.

#[cfg_attr(not(test), expect(dead_code, reason = "what the launcher stands on"))]
mod beat;
#[cfg_attr(not(test), expect(dead_code, reason = "what the launcher stands on"))]
#[expect(unsafe_code, reason = "maps memory that processes share")]
mod board;
#[cfg_attr(not(test), expect(dead_code, reason = "what the launcher stands on"))]
mod control_socket;
#[cfg_attr(not(test), expect(dead_code, reason = "what the launcher stands on"))]
mod status;
#[cfg_attr(not(test), expect(dead_code, reason = "what the launcher stands on"))]
#[expect(unsafe_code, reason = "takes the descriptors that systemd passes")]
mod systemd;

pub use self::board::State;
pub use self::control_socket::default_control_path;
pub use self::status::{Status, WorkerStatus};
