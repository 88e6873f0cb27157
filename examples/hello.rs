//! Green threads are spawned and joined like std's threads, and may share what is not `Send`.
//!
//! ```text
//! cargo run --example hello
//! ```

use std::cell::RefCell;
use std::rc::Rc;

fn main() {
    sedge::run(|| {
        let words = Rc::new(RefCell::new(Vec::new()));
        let spawn = |word: &'static str| {
            let words = Rc::clone(&words);
            sedge::spawn(move || words.borrow_mut().push(word))
        };
        let threads = [spawn("Hello,"), spawn("World!")];
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("pushing a word cannot fail"));
        println!("{}", words.borrow().join(" "));
    });
}
