//! What a connection does with the bytes that come: the same for all servers, and without sockets.

#[expect(dead_code, reason = "bodies and refusals are the example's alone")]
#[path = "../../examples/http/message.rs"]
mod message;

use std::io::{self, ErrorKind};

use message::{Input, Request, Route};

#[derive(Clone, Copy)]
pub(crate) enum Protocol {
    Echo,
    Http,
}

/// One connection's bytes.
pub(crate) struct Session {
    protocol: Protocol,
    input: Input,
    /// What is to be written; whoever writes it clears it.
    pub(crate) output: Vec<u8>,
}

impl Session {
    pub(crate) fn new(protocol: Protocol) -> Session {
        Session {
            protocol,
            input: Input::default(),
            output: Vec::new(),
        }
    }

    /// Where to read to.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.input.room()
    }

    /// Answers what was read into the room.
    pub(crate) fn answer(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match self.protocol {
            Protocol::Echo => {
                // Nothing is left over here, so that the room is where it was.
                self.output.extend_from_slice(&self.input.room()[..count]);
                Ok(())
            }
            Protocol::Http => {
                self.input.add(count);
                self.answer_requests()
            }
        }
    }

    fn answer_requests(&mut self) -> io::Result<()> {
        while !self.input.is_empty() {
            let request = match self.input.take(Request::parse) {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(_) => return Err(ErrorKind::InvalidData.into()),
            };
            let (status, body) = match request.route {
                Route::Hello => (message::OK, &b"Hello, World!"[..]),
                _ => (message::NOT_FOUND, &b"no such page\n"[..]),
            };
            request.answer(status, body, &mut self.output);
        }
        Ok(())
    }
}
