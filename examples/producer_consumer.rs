//! Two producers, three consumers, and a queue between them that holds four items at most.
//!
//! ```text
//! cargo run --example producer_consumer
//! ```
//!
//! Who puts waits while the queue is full, and who gets while it is empty. `join` waits until every
//! item that was put is done with, not only taken; then the consumers are sent home.

use std::time::Duration;

use sedge::queue::Queue;

const ITEMS: u32 = 10;

fn main() {
    let queue = Queue::bounded(4);
    sedge::run(|| {
        sedge::scope(|scope| {
            for consumer in ["Ann", "Bob", "Cleo"] {
                let queue = &queue;
                scope.spawn(move || consume(queue, consumer));
            }
            let producers = [0, ITEMS].map(|first| {
                let queue = &queue;
                scope.spawn(move || produce(queue, first))
            });
            for producer in producers {
                producer.join().expect("producing does not fail");
            }
            queue.join();
            queue.shutdown();
        });
    });
    println!("all {} items are done", 2 * ITEMS);
}

fn produce(queue: &Queue<u32>, first: u32) {
    for item in first..first + ITEMS {
        queue.put(item).expect("nobody shuts it down yet");
    }
}

/// Works until the queue is shut down.
fn consume(queue: &Queue<u32>, name: &str) {
    for item in queue {
        sedge::sleep(Duration::from_millis(5));
        println!("{name} did item {item}");
        queue.task_done();
    }
}
