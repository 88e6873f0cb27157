//! A bounded number of things that are shared: [`Resources`] that are taken and given back.

mod resources;

pub use resources::{Resources, ResourcesBuilder, Taken};
