//! The groups in the order of the report, and what is to be said of each.

/// What a figure is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    Time,
    Bytes,
}

pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What is counted; more is at the head of the source.
    pub(crate) what: &'static str,
    pub(crate) source: &'static str,
    pub(crate) unit: Unit,
    /// The peer that nobody with the same features can be faster than.
    pub(crate) limit: Option<&'static str>,
    /// What the size is the number of.
    pub(crate) size: &'static str,
}

pub(crate) const GROUPS: [Group; 12] = [
    Group {
        name: "switch",
        title: "Letting another one run",
        what: "one switch, from one of so many to the next",
        source: "switch",
        unit: Unit::Time,
        limit: Some("corosensei"),
        size: "green threads",
    },
    Group {
        name: "spawn",
        title: "Starting one and joining it",
        what: "one spawn and its join",
        source: "spawn",
        unit: Unit::Time,
        limit: Some("corosensei"),
        size: "",
    },
    Group {
        name: "channel",
        title: "Asking another one",
        what: "a request through a channel and the answer through another",
        source: "channel",
        unit: Unit::Time,
        limit: Some("corosensei"),
        size: "",
    },
    Group {
        name: "channel-through",
        title: "A channel in which nobody waits",
        what: "a message into the buffer and out again",
        source: "channel",
        unit: Unit::Time,
        limit: None,
        size: "",
    },
    Group {
        name: "mutex",
        title: "Locking",
        what: "one lock and unlock; with 100, one turn of all who wait for the lock",
        source: "mutex",
        unit: Unit::Time,
        limit: Some("cell"),
        size: "green threads",
    },
    Group {
        name: "timer",
        title: "Setting a time limit and not needing it",
        what: "arming and cancelling a timer while so many are pending",
        source: "timer",
        unit: Unit::Time,
        limit: None,
        size: "pending",
    },
    Group {
        name: "generator",
        title: "An item of a generator",
        what: "one item",
        source: "generator",
        unit: Unit::Time,
        limit: Some("corosensei"),
        size: "",
    },
    Group {
        name: "generator-make",
        title: "A generator of one item",
        what: "making it, taking the item, and its end",
        source: "generator",
        unit: Unit::Time,
        limit: Some("corosensei"),
        size: "",
    },
    Group {
        name: "echo",
        title: "A TCP round trip",
        what: "64 bytes to a server on another core and back",
        source: "echo",
        unit: Unit::Time,
        limit: Some("mio"),
        size: "connections",
    },
    Group {
        name: "http",
        title: "An HTTP request under load",
        what: "processor time of the server for one request",
        source: "http",
        unit: Unit::Time,
        limit: Some("mio"),
        size: "connections",
    },
    Group {
        name: "memory",
        title: "Memory of one that waits",
        what: "resident bytes",
        source: "memory",
        unit: Unit::Bytes,
        limit: Some("kernel"),
        size: "parked",
    },
    Group {
        name: "memory-spawn",
        title: "Starting so many and parking them",
        what: "time for one of them, until the last is parked",
        source: "memory",
        unit: Unit::Time,
        limit: Some("kernel"),
        size: "parked",
    },
];
