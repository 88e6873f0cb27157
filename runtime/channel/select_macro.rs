//! `select!`: crossbeam's syntax, unfolded into a `Select` and one arm for each operation.
//!
//! The cases are taken off one by one (`@parse`). Each leaves an arm: its verb, two names for the
//! end and the index, which hygiene makes different from every other arm's, the expressions, and
//! the body.

/// Waits until one of several channel operations is ready, does it, and runs its arm. If several
/// are, one of them is chosen at random; [`select_biased!`](crate::channel::select_biased) takes
/// the first. As crossbeam's.
///
/// A case is `recv(receiver) -> result => body`, `send(sender, message) -> result => body`, and at
/// most once `default => body`, for when none is ready, or `default(limit) => body`, for when none
/// became ready in that time. A channel that is disconnected is ready, with an error.
///
/// The ends are evaluated once, before it waits. A message is evaluated only when its send was
/// chosen; if it waits itself, others may be faster, and the send waits again.
///
/// ```
/// use sedge::channel::{bounded, select};
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let (orders, incoming) = bounded::<i32>(0);
///     let (outgoing, done) = bounded(1);
///     let customer = sedge::spawn(move || orders.send(3));
///     let mut work = 0;
///     while work < 9 {
///         select! {
///             recv(incoming) -> order => work += order.unwrap_or(6),
///             default(Duration::from_secs(1)) => panic!("nobody orders"),
///         }
///     }
///     select! {
///         send(outgoing, work) -> sent => sent.unwrap(),
///         recv(done) -> _ => unreachable!("there is nothing in it"),
///     }
///     assert_eq!(done.recv(), Ok(9));
///     customer.join().unwrap().unwrap();
/// });
/// ```
#[macro_export]
macro_rules! select {
    ($($cases:tt)+) => {
        $crate::__select_cases!(@parse new () () $($cases)+)
    };
    () => {
        ::std::compile_error!("empty `select!` block")
    };
}

/// As [`select!`](crate::channel::select), but of several operations that are ready it takes the
/// one that stands first.
///
/// ```
/// use sedge::channel::{select_biased, unbounded};
///
/// let (urgent, alarms) = unbounded();
/// let (sender, receiver) = unbounded();
/// sender.send("news").unwrap();
/// urgent.send("fire").unwrap();
/// select_biased! {
///     recv(alarms) -> alarm => assert_eq!(alarm, Ok("fire")),
///     recv(receiver) -> _ => unreachable!(),
/// }
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($cases:tt)+) => {
        $crate::__select_cases!(@parse new_biased () () $($cases)+)
    };
    () => {
        ::std::compile_error!("empty `select_biased!` block")
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __select_cases {
    // Done: no cases are left.
    (@parse $new:ident $arms:tt $default:tt) => {
        $crate::__select_cases!(@expand $new $arms $default)
    };
    // A body that is a block needs no comma behind it.
    (@parse $new:ident $arms:tt $default:tt
        recv($end:expr $(,)?) -> $result:pat => $body:block $(, $($rest:tt)*)?
    ) => {
        $crate::__select_cases!(@arm $new $arms $default
            (recv ($end) () ($result) ($body)) $($($rest)*)?)
    };
    (@parse $new:ident $arms:tt $default:tt
        recv($end:expr $(,)?) -> $result:pat => $body:block $($rest:tt)*
    ) => {
        $crate::__select_cases!(@arm $new $arms $default
            (recv ($end) () ($result) ($body)) $($rest)*)
    };
    (@parse $new:ident $arms:tt $default:tt
        recv($end:expr $(,)?) -> $result:pat => $body:expr $(, $($rest:tt)*)?
    ) => {
        $crate::__select_cases!(@arm $new $arms $default
            (recv ($end) () ($result) ($body)) $($($rest)*)?)
    };
    (@parse $new:ident $arms:tt $default:tt
        send($end:expr, $message:expr $(,)?) -> $result:pat => $body:block $(, $($rest:tt)*)?
    ) => {
        $crate::__select_cases!(@arm $new $arms $default
            (send ($end) (, $message) ($result) ($body)) $($($rest)*)?)
    };
    (@parse $new:ident $arms:tt $default:tt
        send($end:expr, $message:expr $(,)?) -> $result:pat => $body:block $($rest:tt)*
    ) => {
        $crate::__select_cases!(@arm $new $arms $default
            (send ($end) (, $message) ($result) ($body)) $($rest)*)
    };
    (@parse $new:ident $arms:tt $default:tt
        send($end:expr, $message:expr $(,)?) -> $result:pat => $body:expr $(, $($rest:tt)*)?
    ) => {
        $crate::__select_cases!(@arm $new $arms $default
            (send ($end) (, $message) ($result) ($body)) $($($rest)*)?)
    };
    (@parse $new:ident $arms:tt ()
        default $(($($limit:expr)? $(,)?))? => $body:block $(, $($rest:tt)*)?
    ) => {
        $crate::__select_cases!(@parse $new $arms
            (($($($limit)?)?) ($body)) $($($rest)*)?)
    };
    (@parse $new:ident $arms:tt ()
        default $(($($limit:expr)? $(,)?))? => $body:block $($rest:tt)*
    ) => {
        $crate::__select_cases!(@parse $new $arms
            (($($($limit)?)?) ($body)) $($rest)*)
    };
    (@parse $new:ident $arms:tt ()
        default $(($($limit:expr)? $(,)?))? => $body:expr $(, $($rest:tt)*)?
    ) => {
        $crate::__select_cases!(@parse $new $arms
            (($($($limit)?)?) ($body)) $($($rest)*)?)
    };
    (@parse $new:ident $arms:tt $default:tt default $($rest:tt)*) => {
        ::std::compile_error!("there can be only one `default` case in a `select!` block")
    };
    (@parse $new:ident $arms:tt $default:tt $($rest:tt)+) => {
        ::std::compile_error!(::std::concat!(
            "expected `recv(receiver) -> result => body`, `send(sender, message) -> result => \
             body`, or `default => body`, found `",
            ::std::stringify!($($rest)+),
            "`",
        ))
    };

    // Names for the end and the index of one more arm.
    (@arm $new:ident ($($arms:tt)*) $default:tt
        ($verb:ident $end:tt $message:tt $result:tt $body:tt) $($rest:tt)*
    ) => {
        $crate::__select_cases!(@parse $new
            ($($arms)* ($verb end index $end $message $result $body)) $default $($rest)*)
    };

    (@expand $new:ident
        ($(($verb:ident $end:ident $index:ident
            ($ends:expr) ($($message:tt)*) ($result:pat) ($body:expr)))*)
        $default:tt
    ) => {
        match ($(&$ends,)*) {
            ($($end,)*) => {
                #[allow(unused_mut)]
                let mut select = $crate::channel::Select::$new();
                $(let $index = select.$verb($end);)*
                match $crate::__select_cases!(@wait select $default) {
                    ::std::option::Option::Some(operation) => {
                        $(if operation.index() == $index {
                            let $result = operation.$verb($end $($message)*);
                            $body
                        } else)* {
                            ::std::unreachable!()
                        }
                    }
                    ::std::option::Option::None => $crate::__select_cases!(@otherwise $default),
                }
            }
        }
    };

    (@wait $select:ident ()) => {
        ::std::option::Option::Some($select.select())
    };
    (@wait $select:ident (() $body:tt)) => {
        $select.try_select().ok()
    };
    (@wait $select:ident (($limit:expr) $body:tt)) => {
        $select.select_timeout($limit).ok()
    };

    (@otherwise ()) => {
        ::std::unreachable!()
    };
    (@otherwise ($limit:tt ($body:expr))) => {
        $body
    };
}
