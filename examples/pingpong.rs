//! Two generators that play: each is sent what the other has yielded.
//!
//! ```text
//! cargo run --example pingpong
//! ```

use sedge::generator::Generator;

/// Returns the ball with one more on it, and gives up after a few.
fn player(name: &'static str, stamina: u32) -> Generator<u32, u32, &'static str> {
    Generator::receiving(move |y, mut ball| {
        for _ in 0..stamina {
            println!("{name} {ball}");
            ball = y.yield_(ball + 1);
        }
        name
    })
}

fn main() {
    let players = [player("ping", 5), player("pong", 4)];
    let mut ball = 1;
    for player in players.iter().cycle() {
        match player.send(ball) {
            Some(next) => ball = next,
            None => {
                let loser = player.take_value().expect("its body has returned");
                return println!("{loser} misses");
            }
        }
    }
}
