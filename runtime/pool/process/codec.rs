//! What goes over the line between the pool and a worker, as bytes.
//!
//! An order is a function and some arguments, one behind the other. Its answer has a part for each
//! argument: a tag, and then the value, or why there is none. A value that cannot be encoded, or is
//! too large, is taken back to where it began, so it costs its neighbours nothing.

use std::any::Any;

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::TaskError;
use super::panics;
use crate::thread::{self, catch, is_interrupt};

const VALUE: u8 = 0;
const PANIC: u8 = 1;
const NO_ARGUMENT: u8 = 2;
const NO_VALUE: u8 = 3;

/// The encoded arguments of an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arguments<'a> {
    bytes: &'a [u8],
    count: u32,
}

/// The answers to an order, in the making.
#[derive(Debug)]
pub(super) struct Answers {
    bytes: Vec<u8>,
    /// Bytes that one value may have.
    limit: usize,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(bytes: &'a [u8], count: u32) -> Arguments<'a> {
        Arguments { bytes, count }
    }
}

impl Answers {
    pub(super) fn new(limit: usize) -> Answers {
        Answers {
            bytes: Vec::new(),
            limit,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn value<R: Serialize>(&mut self, value: &R) {
        let start = self.bytes.len();
        self.bytes.push(VALUE);
        if let Err(why) = encode(value, &mut self.bytes, self.limit) {
            self.bytes.truncate(start);
            self.failure(NO_VALUE, &why);
        }
    }

    fn failure<T: Serialize>(&mut self, tag: u8, what: &T) {
        self.bytes.push(tag);
        // Texts, of which there is no limit.
        let _ = encode(what, &mut self.bytes, usize::MAX);
    }
}

/// Calls `f` with each argument, one after the other.
pub(super) fn answer_each<A, R>(f: impl Fn(A) -> R, arguments: Arguments<'_>, answers: &mut Answers)
where
    A: DeserializeOwned,
    R: Serialize,
{
    let mut left = arguments.bytes;
    let mut unreadable = None::<String>;
    let mut start = 0;
    let mut done = 0;
    while done < arguments.count {
        let panicked = catch(|| {
            while done < arguments.count {
                start = answers.bytes.len();
                let argument = unreadable.clone().map_or_else(|| take::<A>(&mut left), Err);
                match argument {
                    Ok(argument) => answers.value(&f(argument)),
                    Err(why) => {
                        // Where the next one begins, nobody knows.
                        answers.failure(NO_ARGUMENT, &why);
                        unreadable = Some(why);
                    }
                }
                done += 1;
            }
        });
        if let Err(payload) = panicked {
            answers.bytes.truncate(start);
            if is_interrupt(&payload) {
                thread::resume(payload);
            }
            answers.failure(PANIC, &panics::describe(&*payload));
            thread::contain(|| drop(payload));
            done += 1;
        }
    }
}

/// Reads `count` answers of that worker. What is missing is a failure too.
pub(super) fn read_answers<R: DeserializeOwned>(
    mut bytes: &[u8],
    count: u32,
    worker: u32,
) -> Vec<Result<R, TaskError>> {
    let mut answers = Vec::with_capacity(count as usize);
    // How a value is read is its type's to say, and may panic.
    let panicked = catch(|| {
        for _ in 0..count {
            answers.push(read_answer(&mut bytes, worker));
        }
    });
    if let Err(payload) = panicked {
        if is_interrupt(&payload) {
            thread::resume(payload);
        }
        let text = text(&*payload).unwrap_or("a payload that is no text");
        let why = format!("decoding it panicked: {text}");
        thread::contain(|| drop(payload));
        answers.push(Err(TaskError::Value(why)));
    }
    let missing = || Err(TaskError::Value("the answer ends before it".to_owned()));
    answers.resize_with(count as usize, missing);
    answers
}

fn read_answer<R: DeserializeOwned>(bytes: &mut &[u8], worker: u32) -> Result<R, TaskError> {
    let Some((&tag, rest)) = bytes.split_first() else {
        return Err(TaskError::Value("the answer ends before it".to_owned()));
    };
    *bytes = rest;
    let failure = match tag {
        VALUE => match take(bytes) {
            Ok(value) => return Ok(value),
            Err(why) => {
                // Where the next one begins, nobody knows.
                *bytes = &[];
                Ok(TaskError::Value(why))
            }
        },
        PANIC => take(bytes).map(|(message, location, backtrace)| TaskError::Panicked {
            message,
            location,
            backtrace,
            worker,
        }),
        NO_ARGUMENT => take(bytes).map(TaskError::Argument),
        _ => take(bytes).map(TaskError::Value),
    };
    Err(failure.unwrap_or_else(TaskError::Value))
}

/// The text of a panic.
pub(super) fn text(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Appends a value, of at most so many bytes.
pub(super) fn encode<T: Serialize + ?Sized>(
    value: &T,
    to: &mut Vec<u8>,
    limit: usize,
) -> Result<(), String> {
    let start = to.len();
    let tail = Tail {
        end: start.saturating_add(limit),
        to,
    };
    match postcard::serialize_with_flavor(value, tail) {
        Ok(()) => Ok(()),
        Err(postcard::Error::SerializeBufferFull) => Err(format!("it has more than {limit} bytes")),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a value, and leaves what is behind it.
pub(super) fn take<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, String> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|error| error.to_string())?;
    *bytes = rest;
    Ok(value)
}

/// Appends to a vector up to an end.
struct Tail<'a> {
    to: &'a mut Vec<u8>,
    end: usize,
}

impl Tail<'_> {
    fn has_room(&self, count: usize) -> postcard::Result<()> {
        if self.end - self.to.len() < count {
            return Err(postcard::Error::SerializeBufferFull);
        }
        Ok(())
    }
}

impl Flavor for Tail<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.has_room(1)?;
        self.to.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.has_room(bytes.len())?;
        self.to.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<A: Serialize + DeserializeOwned, R: Serialize + DeserializeOwned>(
        f: fn(A) -> R,
        arguments: &[A],
    ) -> Vec<Result<R, TaskError>> {
        let mut bytes = Vec::new();
        for argument in arguments {
            encode(argument, &mut bytes, usize::MAX).unwrap();
        }
        let count = arguments.len() as u32;
        let mut answers = Answers::new(16);
        answer_each(f, Arguments::new(&bytes, count), &mut answers);
        read_answers(answers.bytes(), count, 1)
    }

    #[test]
    fn each_argument_has_its_answer() {
        let answers = round_trip(|n: u64| n + 1, &[1, 2, 300]);
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [2, 3, 301]);
        assert_eq!(round_trip(|()| (), &[(), ()]).len(), 2);
    }

    #[test]
    fn a_value_that_is_too_large_costs_its_neighbours_nothing() {
        let answers = round_trip(|n: usize| vec![7_u8; n], &[1, 100, 2]);
        assert_eq!(*answers[0].as_ref().unwrap(), [7]);
        let error = answers[1].as_ref().unwrap_err().to_string();
        assert!(error.contains("more than 16 bytes"), "{error}");
        assert_eq!(*answers[2].as_ref().unwrap(), [7, 7]);
    }

    #[test]
    fn an_answer_that_is_cut_off_fails_every_task_that_it_lacks() {
        let answers = read_answers::<u32>(&[VALUE, 5, VALUE], 3, 1);
        assert_eq!(*answers[0].as_ref().unwrap(), 5);
        assert!(answers[1..].iter().all(Result::is_err));
    }
}
