//! What the workers of one launcher share by name.

use std::io;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use sedge::ipc::Receiver;
use sedge::launch::Worker;

use crate::harness::{Client, Launched, eventually, signal};
use crate::program::COUNT;

crate::tests![
    workers_share_a_queue_by_name,
    what_is_shared_outlives_the_workers,
    what_is_shared_outlives_the_program,
    a_name_stands_for_one_thing,
    in_this_process_a_worker_shares_with_itself,
    who_asks_a_launcher_without_descriptors_is_told,
];

/// What a client can ask a worker to do: `push`, `pop`, `count`, `enter`, `open`, `wait`, `clash`,
/// `long`.
pub(crate) fn share(worker: &Worker, words: &[&str]) -> io::Result<String> {
    Ok(match words {
        ["push", word] => {
            worker.queue("words")?.put(&(*word).to_owned())?;
            "pushed".into()
        }
        ["pop"] => worker.queue::<String>("words")?.get()?,
        ["count"] => worker.counter("asked")?.add(1).to_string(),
        ["enter"] => match worker.semaphore("seats", 2)?.try_acquire()? {
            Some(seat) => {
                seat.forget();
                "in".into()
            }
            None => "full".into(),
        },
        ["open"] => {
            worker.event("open")?.set()?;
            "opened".into()
        }
        ["wait"] => {
            worker.event("open")?.wait()?;
            "open".into()
        }
        ["clash"] => {
            let other = worker.queue::<Receiver<(u8, u8)>>("words");
            other.map_or_else(|error| error.to_string(), |_| "no clash".into())
        }
        ["long"] => {
            let other = worker.event(&"x".repeat(100_000));
            other.map_or_else(|error| error.to_string(), |_| "not too long".into())
        }
        _ => "what?".into(),
    })
}

/// A client of each of two workers.
fn both(launched: &Launched) -> [Client; 2] {
    let mut clients = [None, None];
    eventually("a client of each worker", || {
        let mut client = launched.connect();
        let (id, _) = client.who();
        clients[id] = Some(client);
        clients.iter().all(Option::is_some)
    });
    clients.map(|client| client.expect("there is one of each"))
}

fn workers_share_a_queue_by_name() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    let [mut first, mut second] = both(&launched);
    first.send("share pop").unwrap();
    assert_eq!(second.ask("share push one").unwrap(), "pushed");
    assert_eq!(first.receive().unwrap(), "one");
    assert_eq!(first.ask("share push two").unwrap(), "pushed");
    assert_eq!(second.ask("share pop").unwrap(), "two");

    first.send("share wait").unwrap();
    assert_eq!(second.ask("share open").unwrap(), "opened");
    assert_eq!(first.receive().unwrap(), "open");

    assert_eq!(first.ask("share count").unwrap(), "1");
    assert_eq!(second.ask("share count").unwrap(), "2");
    assert_eq!(first.ask("share enter").unwrap(), "in");
    assert_eq!(second.ask("share enter").unwrap(), "in");
    assert_eq!(first.ask("share enter").unwrap(), "full");
    launched.signal("-TERM");
    assert_eq!(launched.end().0, Some(0));
}

fn what_is_shared_outlives_the_workers() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    let before = launched.workers();
    assert_eq!(launched.connect().ask("share push kept").unwrap(), "pushed");
    assert_eq!(launched.connect().ask("share count").unwrap(), "1");
    for &worker in &before {
        signal(worker, "-KILL");
    }
    eventually("two others", || {
        let workers = launched.workers();
        workers.len() == 2 && !workers.iter().any(|worker| before.contains(worker))
    });
    assert_eq!(launched.connect().ask("share pop").unwrap(), "kept");
    assert_eq!(launched.connect().ask("share count").unwrap(), "2");
    launched.signal("-TERM");
    assert_eq!(launched.end().0, Some(0));
}

fn what_is_shared_outlives_the_program() {
    let launched = Launched::serving(&[(COUNT, "2")]);
    let before = launched.workers();
    assert_eq!(launched.connect().ask("share push kept").unwrap(), "pushed");
    launched.signal("-USR2");
    launched.says("is the new program");
    eventually("two others", || {
        let workers = launched.workers();
        workers.len() == 2 && !workers.iter().any(|worker| before.contains(worker))
    });
    assert_eq!(launched.connect().ask("share pop").unwrap(), "kept");
    launched.signal("-TERM");
    assert_eq!(launched.end().0, Some(0));
}

fn a_name_stands_for_one_thing() {
    let launched = Launched::serving(&[(COUNT, "1")]);
    let mut client = launched.connect();
    assert_eq!(client.ask("share clash").unwrap(), "no clash");
    let refused = client.ask("share push one").unwrap_or_default();
    assert!(!refused.contains("pushed"), "{refused}");
    let mut client = launched.connect();
    let refused = client.ask("share long").unwrap();
    assert!(refused.contains("more than 1000 bytes"), "{refused}");
    assert_eq!(client.ask("share count").unwrap(), "1");
    launched.signal("-TERM");
    assert_eq!(launched.end().0, Some(0));
}

fn in_this_process_a_worker_shares_with_itself() {
    let launched = Launched::start("here", &[]);
    let mut client = launched.connect();
    assert_eq!(client.ask("share push one").unwrap(), "pushed");
    assert_eq!(client.ask("share pop").unwrap(), "one");
    let refused = client.ask("share clash").unwrap();
    assert!(
        refused.contains("is shared already, as queue<"),
        "{refused}"
    );
    launched.signal("-TERM");
    assert_eq!(launched.end().0, Some(0));
}

fn who_asks_a_launcher_without_descriptors_is_told() {
    let launched = Launched::serving(&[(COUNT, "1")]);
    let mut client = launched.connect();
    client.who();
    let pid = Pid::from_raw(launched.pid() as i32);
    let limit = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..limit
    };
    prlimit(pid, Resource::Nofile, none).unwrap();
    let refused = client.ask("share clash").unwrap();
    prlimit(pid, Resource::Nofile, limit).unwrap();
    assert!(refused.contains("too many are open"), "{refused}");
    // It listens as before.
    assert_eq!(client.ask("share count").unwrap(), "1");
    launched.signal("-TERM");
    assert_eq!(launched.end().0, Some(0));
}
