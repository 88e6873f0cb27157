//! HTTP/1 as bytes: requests out of a buffer, answers into one.
//!
//! No socket and no clock here, so the rules of what is well-formed stand in one place and can be
//! tested and measured alone. Whatever could make two readers disagree about where a request ends
//! is refused: two lengths, a length with chunks, any coding but `chunked`, a sign before a number.

use std::mem::MaybeUninit;

use httparse::Error::TooManyHeaders;
use httparse::Status::{Complete, Partial};

const HEAD_LIMIT: usize = 16 << 10;
pub(crate) const BODY_LIMIT: usize = 1 << 20;
const FIELDS_LIMIT: usize = 64;
/// What is tried first: room for 64 fields would cost every connection a second page of stack.
const FEW_FIELDS: usize = 16;
const CHUNK_LINE_LIMIT: usize = 256;

/// What a connection keeps of a buffer while it is idle: enough for nearly every request.
pub(crate) const BUFFER: usize = 2 << 10;

pub(crate) type Status = &'static str;

pub(crate) const OK: Status = "200 OK";
pub(crate) const NOT_FOUND: Status = "404 Not Found";
pub(crate) const NOT_ALLOWED: Status = "405 Method Not Allowed";
pub(crate) const TIMEOUT: Status = "408 Request Timeout";
const BAD_REQUEST: Status = "400 Bad Request";
const BODY_TOO_LARGE: Status = "413 Content Too Large";
const HEAD_TOO_LARGE: Status = "431 Request Header Fields Too Large";

/// What was found at the beginning of a buffer and how many bytes it took, `None` if more must
/// come, or the status to refuse it with.
pub(crate) type Parsed<T> = Result<Option<(usize, T)>, Status>;

/// Bytes that have come; those from `start` to `filled` are not used yet.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    filled: usize,
}

impl Input {
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.filled
    }

    /// Uses up what `parse` finds.
    pub(crate) fn take<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Parsed<T>,
    ) -> Result<Option<T>, Status> {
        let found = parse(&self.bytes[self.start..self.filled])?;
        Ok(found.map(|(length, found)| {
            self.start += length;
            found
        }))
    }

    /// Room for more: at least a byte, all of a small buffer if it is empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        if self.filled == 0 && self.bytes.len() > BUFFER {
            self.bytes = Vec::new();
        }
        if self.filled == self.bytes.len() {
            self.bytes.resize((2 * self.filled).max(BUFFER), 0);
        }
        &mut self.bytes[self.filled..]
    }

    /// Counts what was written into the room.
    pub(crate) fn add(&mut self, count: usize) {
        self.filled += count;
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Hello,
    Delay(u64),
    Echo,
    Stream(u64),
    NotFound,
    /// The methods that are allowed instead.
    NotAllowed(&'static str),
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// The head of a request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) route: Route,
    pub(crate) body: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) http11: bool,
    /// The answer is to have no body.
    pub(crate) is_head: bool,
}

impl Request {
    /// Finds the head of a request.
    pub(crate) fn parse(bytes: &[u8]) -> Parsed<Request> {
        match Request::parse_fields::<FEW_FIELDS>(bytes) {
            Err(HEAD_TOO_LARGE) => Request::parse_fields::<FIELDS_LIMIT>(bytes),
            parsed => parsed,
        }
    }

    #[inline(never)]
    fn parse_fields<const LIMIT: usize>(bytes: &[u8]) -> Parsed<Request> {
        let mut fields = [const { MaybeUninit::uninit() }; LIMIT];
        let mut head = httparse::Request::new(&mut []);
        match head.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(Complete(length)) if length <= HEAD_LIMIT => {
                Ok(Some((length, Request::from_head(&head)?)))
            }
            Ok(Partial) if bytes.len() <= HEAD_LIMIT => Ok(None),
            Ok(_) | Err(TooManyHeaders) => Err(HEAD_TOO_LARGE),
            Err(_) => Err(BAD_REQUEST),
        }
    }

    fn from_head(head: &httparse::Request<'_, '_>) -> Result<Request, Status> {
        let http11 = head.version == Some(1);
        let (mut hosts, mut length, mut codings) = (0, None, 0);
        let (mut close, mut keep_alive, mut expects_continue) = (false, http11, false);
        for httparse::Header { name, value } in head.headers.iter() {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            if is("Host") {
                hosts += 1;
            } else if is("Connection") {
                close |= has_token(value, b"close");
                keep_alive |= has_token(value, b"keep-alive");
            } else if is("Content-Length") {
                let number = number(value)
                    .filter(|_| length.is_none())
                    .ok_or(BAD_REQUEST)?;
                length = Some(usize::try_from(number).unwrap_or(usize::MAX));
            } else if is("Transfer-Encoding") && value.eq_ignore_ascii_case(b"chunked") && http11 {
                codings += 1;
            } else if is("Transfer-Encoding") {
                return Err(BAD_REQUEST);
            } else if is("Expect") {
                expects_continue = http11 && value.eq_ignore_ascii_case(b"100-continue");
            }
        }
        let body = match (length, codings) {
            (Some(length), 0) if length > BODY_LIMIT => return Err(BODY_TOO_LARGE),
            (length, 0) => Framing::Length(length.unwrap_or(0)),
            (None, 1) => Framing::Chunked,
            _ => return Err(BAD_REQUEST),
        };
        if hosts > 1 || (http11 && hosts == 0) {
            return Err(BAD_REQUEST);
        }
        let method = head.method.unwrap_or_default();
        let route = Route::find(method, head.path.unwrap_or_default());
        // HTTP/1.0 knows no chunks: there a stream ends with its connection.
        let endless = matches!(route, Route::Stream(_)) && !http11;
        Ok(Request {
            route,
            body,
            keep_alive: keep_alive && !close && !endless,
            expects_continue,
            http11,
            is_head: method == "HEAD",
        })
    }

    /// Appends a whole answer.
    pub(crate) fn answer(&self, status: Status, body: &[u8], output: &mut Vec<u8>) {
        self.begin(status, output);
        append(output, ["Content-Length: "]);
        append_number(output, body.len());
        append(output, ["\r\n\r\n"]);
        if !self.is_head {
            output.extend_from_slice(body);
        }
    }

    /// Appends the head of an answer whose body follows in chunks.
    pub(crate) fn answer_head(&self, output: &mut Vec<u8>) {
        self.begin(OK, output);
        let coding = "Transfer-Encoding: chunked\r\n";
        append(output, [if self.http11 { coding } else { "" }, "\r\n"]);
    }

    /// Appends a chunk of it; an empty one is the last.
    pub(crate) fn answer_chunk(&self, chunk: &str, output: &mut Vec<u8>) {
        if self.http11 {
            let size = format!("{:x}", chunk.len());
            append(output, [&size, "\r\n", chunk, "\r\n"]);
        } else {
            append(output, [chunk]);
        }
    }

    fn begin(&self, status: Status, output: &mut Vec<u8>) {
        append(
            output,
            ["HTTP/1.1 ", status, "\r\nContent-Type: text/plain\r\n"],
        );
        if let Route::NotAllowed(methods) = self.route {
            append(output, ["Allow: ", methods, "\r\n"]);
        }
        match (self.keep_alive, self.http11) {
            (true, false) => append(output, ["Connection: keep-alive\r\n"]),
            (false, true) => append(output, ["Connection: close\r\n"]),
            _ => {}
        }
    }
}

impl Route {
    fn find(method: &str, target: &str) -> Route {
        let path = path(target);
        let route = match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
            None if path == "/" => Some(Route::Hello),
            None if path == "/echo" => Some(Route::Echo),
            Some(("delay", ms)) => number(ms.as_bytes()).map(Route::Delay),
            Some(("stream", chunks)) => number(chunks.as_bytes()).map(Route::Stream),
            _ => None,
        };
        match (route, method) {
            (None, _) => Route::NotFound,
            (Some(Route::Echo), "POST") => Route::Echo,
            (Some(Route::Echo), _) => Route::NotAllowed("POST"),
            (Some(route), "GET" | "HEAD") => route,
            (Some(_), _) => Route::NotAllowed("GET, HEAD"),
        }
    }
}

/// Finds a chunk of at most `room` bytes; the last one is empty.
pub(crate) fn parse_chunk(bytes: &[u8], room: usize) -> Parsed<Vec<u8>> {
    let (start, size) = match httparse::parse_chunk_size(bytes) {
        Ok(Complete((start, size))) if start <= CHUNK_LINE_LIMIT => (start, size),
        Ok(Partial) if bytes.len() <= CHUNK_LINE_LIMIT => return Ok(None),
        _ => return Err(BAD_REQUEST),
    };
    // httparse takes no digit for a zero, and a bare line feed for a part of an extension.
    if !bytes[0].is_ascii_hexdigit() || bytes[..start - 2].contains(&b'\n') {
        return Err(BAD_REQUEST);
    }
    let size = usize::try_from(size)
        .ok()
        .filter(|&size| size <= room)
        .ok_or(BODY_TOO_LARGE)?;
    let end = start + size;
    match bytes.get(end..end + 2) {
        _ if size == 0 => Ok(Some((start, Vec::new()))),
        Some(b"\r\n") => Ok(Some((end + 2, bytes[start..end].to_vec()))),
        Some(_) => Err(BAD_REQUEST),
        None => Ok(None),
    }
}

/// Finds the trailer fields behind the last chunk, which nobody here wants.
pub(crate) fn parse_trailers(bytes: &[u8]) -> Parsed<()> {
    match httparse::parse_headers(bytes, &mut [httparse::EMPTY_HEADER; FIELDS_LIMIT]) {
        Ok(Complete((length, _))) if length <= HEAD_LIMIT => Ok(Some((length, ()))),
        Ok(Partial) if bytes.len() <= HEAD_LIMIT => Ok(None),
        Ok(_) | Err(TooManyHeaders) => Err(HEAD_TOO_LARGE),
        Err(_) => Err(BAD_REQUEST),
    }
}

/// Appends the answer to what is no request.
pub(crate) fn refuse(status: Status, output: &mut Vec<u8>) {
    let fields = "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    append(output, ["HTTP/1.1 ", status, fields]);
}

/// `write!` would do; this makes a request of 5 us some 0.3 us cheaper.
fn append<const N: usize>(output: &mut Vec<u8>, texts: [&str; N]) {
    texts
        .iter()
        .for_each(|text| output.extend_from_slice(text.as_bytes()));
}

fn append_number(output: &mut Vec<u8>, mut number: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    while number > 0 {
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        first -= usize::from(number > 0);
    }
    output.extend_from_slice(&digits[first..]);
}

/// The path of a target, which a proxy's client sends as a whole URL.
fn path(target: &str) -> &str {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    if target.starts_with('/') {
        return target;
    }
    match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    }
}

/// A number of digits only; one that is too large is as large as can be.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, digit: &u8| {
        digit
            .is_ascii_digit()
            .then(|| sum.saturating_mul(10).saturating_add((digit - b'0').into()))
    };
    digits
        .iter()
        .try_fold(0, add)
        .filter(|_| !digits.is_empty())
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|&byte| byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}
