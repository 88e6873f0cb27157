//! The wheel against the obvious slow version: a sorted map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{TimerId, Wheel};

/// What a test may do to a wheel.
#[derive(Clone, Debug)]
enum Step {
    /// Arm a timer this far from now.
    Arm(u64),
    /// Cancel one of those ever armed, fired or not.
    Cancel(usize),
    /// Let this much time pass and take out what is due.
    Advance(u64),
    /// Let time pass until the wheel asks to be called.
    Jump,
}

fn span() -> impl Strategy<Value = u64> {
    // Every level of the wheel, and the edges of its slots.
    (0_u32..63, 0_u64..=u64::MAX, -1_i64..=1)
        .prop_map(|(bits, low, edge)| {
            ((1_u64 << bits) | (low & ((1 << bits) - 1))).saturating_add_signed(edge)
        })
        .prop_map(|span: u64| span.min(1 << 61))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => span().prop_map(Step::Arm),
        1 => Just(Step::Arm(0)),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => span().prop_map(|span| Step::Advance(span >> 8)),
        2 => Just(Step::Jump),
    ]
}

#[derive(Default)]
struct Model {
    now: u64,
    pending: BTreeMap<(u64, usize), ()>,
    armed: Vec<(TimerId, u64)>,
}

impl Model {
    fn take_due(&mut self) -> Vec<usize> {
        let later = self.pending.split_off(&(self.now + 1, 0));
        std::mem::replace(&mut self.pending, later)
            .into_keys()
            .map(|(_, key)| key)
            .collect()
    }
}

fn due(wheel: &mut Wheel<usize>, now: u64) -> Vec<usize> {
    std::iter::from_fn(|| wheel.expire(now)).collect()
}

fn check(steps: &[Step]) {
    let mut wheel = Wheel::new();
    let mut model = Model::default();
    for step in steps {
        match *step {
            Step::Arm(span) => {
                let (key, deadline) = (model.armed.len(), model.now.saturating_add(span));
                model.armed.push((wheel.arm(deadline, key), deadline));
                model.pending.insert((deadline, key), ());
            }
            Step::Cancel(pick) if !model.armed.is_empty() => {
                let key = pick % model.armed.len();
                let (id, deadline) = model.armed[key];
                let expected = model.pending.remove(&(deadline, key)).map(|()| key);
                assert_eq!(wheel.cancel(id), expected);
            }
            Step::Cancel(_) => {}
            Step::Advance(span) => model.now = model.now.saturating_add(span),
            Step::Jump => {
                let first = model.pending.keys().next().map(|&(deadline, _)| deadline);
                let next = wheel.next_deadline();
                assert_eq!(next.is_some(), first.is_some());
                if let (Some(next), Some(first)) = (next, first) {
                    assert!(next <= first, "asked to be called at {next}, after {first}");
                    model.now = model.now.max(next);
                }
            }
        }
        if matches!(step, Step::Advance(_) | Step::Jump) {
            // In the order of the deadlines, and of arming where those are equal.
            assert_eq!(
                due(&mut wheel, model.now),
                model.take_due(),
                "at {}",
                model.now
            );
        }
        assert_eq!(wheel.len(), model.pending.len());
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn fires_what_a_sorted_map_would_fire(steps in prop::collection::vec(step(), 1..80)) {
        check(&steps);
    }
}

#[test]
fn jumping_reaches_every_deadline_in_few_steps() {
    for bits in 0..62 {
        let mut wheel = Wheel::new();
        let deadline = (1 << bits) + 12_345;
        wheel.arm(deadline, ());
        let (mut now, mut jumps) = (0, 0);
        while wheel.expire(now).is_none() {
            now = wheel.next_deadline().expect("it is still armed");
            jumps += 1;
            assert!(jumps <= 9, "2^{bits}: still not there after {jumps} jumps");
        }
        assert_eq!(now, deadline);
    }
}

#[test]
fn one_that_is_due_but_has_not_come_out_can_be_cancelled() {
    let mut wheel = Wheel::new();
    let ids: Vec<_> = (0..4).map(|key| wheel.arm(key / 2, key)).collect();
    assert_eq!(wheel.expire(9), Some(0));
    assert_eq!(wheel.cancel(ids[2]), Some(2));
    assert_eq!(wheel.cancel(ids[2]), None);
    assert_eq!(wheel.len(), 2);
    assert_eq!(
        (wheel.expire(9), wheel.expire(9), wheel.expire(9)),
        (Some(1), Some(3), None)
    );
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn a_stale_id_cancels_nothing() {
    let mut wheel = Wheel::new();
    let fired = wheel.arm(5, "fired");
    assert_eq!(wheel.expire(5), Some("fired"));
    let reused = wheel.arm(9, "reused");
    assert_eq!(wheel.cancel(fired), None);
    assert_eq!(wheel.cancel(reused), Some("reused"));
    assert_eq!(wheel.cancel(reused), None);
}

#[test]
fn a_million_may_be_pending() {
    const MILLION: u64 = 1_000_000;
    let mut wheel = Wheel::new();
    let deadline = |key: u64| (key * 7_919 % MILLION) * 1_000_003;
    let ids: Vec<_> = (0..MILLION)
        .map(|key| wheel.arm(deadline(key), key))
        .collect();
    for id in ids.iter().step_by(2) {
        assert!(wheel.cancel(*id).is_some());
    }
    let (mut now, mut fired) = (0, 0);
    while let Some(next) = wheel.next_deadline() {
        now = next.max(now);
        while let Some(key) = wheel.expire(now) {
            assert!(deadline(key) <= now && key % 2 == 1);
            fired += 1;
        }
    }
    assert_eq!(fired, MILLION / 2);
}
