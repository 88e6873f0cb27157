//! Both ways to guard, reuse, and handing memory back, without a scheduler.

use corosensei::stack::Stack as _;

use super::guard::page_size;
use super::{Class, HOT_BYTES, MAX_SIZE, MIN_SIZE, Pool, Stack, StackGuard, name_in};

fn guards() -> impl Iterator<Item = StackGuard> {
    let best = StackGuard::Auto.resolve();
    [StackGuard::Protect, best].into_iter()
}

fn take(pool: &mut Pool, size: usize) -> std::io::Result<Stack> {
    pool.take(Class::holding(size)?)
}

/// Writes the lowest and the highest usable word, and reads them back.
fn touch(stack: &Stack) {
    let bottom = stack.limit().get() + page_size();
    for address in [bottom, stack.base().get() - 8] {
        let word = address as *mut u64;
        // SAFETY: the address is aligned and inside the usable part of a stack that nothing runs
        // on.
        unsafe { word.write_volatile(0x5ed9e) };
        // SAFETY: as above.
        assert_eq!(unsafe { word.read_volatile() }, 0x5ed9e);
    }
}

/// Whether the kernel would let this process write to `address`: a pipe reads from it.
fn readable(address: usize) -> bool {
    let mut pipe = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: the kernel checks the address itself and answers EFAULT.
    let written = unsafe { libc::write(pipe[1], address as *const _, 1) };
    for fd in pipe {
        // SAFETY: a descriptor made above, closed once.
        unsafe { libc::close(fd) };
    }
    written == 1
}

#[test]
fn each_stack_is_usable_to_its_guard_and_not_beyond() {
    for guard in guards() {
        let mut pool = Pool::new(guard);
        let stacks: Vec<_> = (0..40)
            .map(|_| take(&mut pool, MIN_SIZE).unwrap())
            .collect();
        for stack in &stacks {
            touch(stack);
            let guard_page = stack.limit().get();
            assert!(readable(guard_page + page_size()), "{guard:?}");
            assert!(!readable(guard_page + page_size() - 1), "{guard:?}");
            assert!(!readable(guard_page), "{guard:?}");
        }
        stacks.into_iter().for_each(|stack| pool.give_back(stack));
    }
}

#[test]
fn a_stack_has_at_least_the_size_asked_for() {
    let mut pool = Pool::new(StackGuard::Auto);
    for size in [
        MIN_SIZE,
        MIN_SIZE + 1,
        100_000,
        256 << 10,
        5 << 20,
        MAX_SIZE,
    ] {
        let stack = take(&mut pool, size).unwrap();
        assert!(stack.size() >= size && stack.size() < 2 * size);
        assert_eq!(stack.base().get() % 16, 0);
        pool.give_back(stack);
    }
}

#[test]
fn absurd_sizes_are_refused_with_the_limits() {
    let mut pool = Pool::new(StackGuard::Auto);
    for size in [0, 1, MIN_SIZE - 1, MAX_SIZE + 1, usize::MAX] {
        let error = take(&mut pool, size).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.contains("32 KiB") && text.contains("1 GiB"), "{text}");
    }
}

#[test]
fn the_last_stack_given_back_is_taken_first() {
    let mut pool = Pool::new(StackGuard::Auto);
    let stacks: Vec<_> = (0..3).map(|_| take(&mut pool, MIN_SIZE).unwrap()).collect();
    let bases: Vec<_> = stacks.iter().map(|stack| stack.base).collect();
    stacks.into_iter().for_each(|stack| pool.give_back(stack));
    let again: Vec<_> = (0..3).map(|_| take(&mut pool, MIN_SIZE).unwrap()).collect();
    assert!(again.iter().rev().map(|stack| stack.base).eq(bases));
    again.into_iter().for_each(|stack| pool.give_back(stack));
}

#[test]
fn cooling_zeroes_the_coldest_and_spares_the_hot() {
    for guard in guards() {
        let mut pool = Pool::new(guard);
        let stacks: Vec<_> = (0..300)
            .map(|_| take(&mut pool, MIN_SIZE).unwrap())
            .collect();
        let bases: Vec<_> = stacks.iter().map(|stack| stack.base().get() - 8).collect();
        stacks.iter().for_each(touch);
        stacks.into_iter().for_each(|stack| pool.give_back(stack));
        assert!(!pool.cool(HOT_BYTES), "300 small stacks are below the mark");
        let keep = 10;
        while pool.cool(keep * MIN_SIZE) {}
        let words: Vec<u64> = bases
            .iter()
            // SAFETY: the slots are mapped and free, and the address is aligned.
            .map(|&address| unsafe { (address as *const u64).read_volatile() })
            .collect();
        assert!(
            words[..300 - keep].iter().all(|&word| word == 0),
            "{guard:?}"
        );
        assert!(
            words[300 - keep..].iter().all(|&word| word == 0x5ed9e),
            "{guard:?}"
        );
        // The cooled ones are still guarded and usable.
        let again: Vec<_> = (0..300)
            .map(|_| take(&mut pool, MIN_SIZE).unwrap())
            .collect();
        for stack in again {
            touch(&stack);
            assert!(!readable(stack.limit().get()), "{guard:?}");
            pool.give_back(stack);
        }
    }
}

#[test]
fn an_outstanding_stack_keeps_its_memory_when_the_pool_is_gone() {
    let mut pool = Pool::new(StackGuard::Auto);
    let leaked = take(&mut pool, MIN_SIZE).unwrap();
    drop(pool);
    touch(&leaked);
}

#[test]
fn a_name_is_cut_between_characters() {
    assert_eq!(name_in(b""), None);
    assert_eq!(name_in(b"worker"), Some("worker"));
    assert_eq!(name_in(&"grün".as_bytes()[..3]), Some("gr"));
}
