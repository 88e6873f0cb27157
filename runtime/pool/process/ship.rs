//! Functions on their way to another process of the same program.
//!
//! A process that executes the same file has the same functions, at the same distances from each
//! other, wherever the kernel has put them. So a function is sent as its distance from a function
//! of this module, the *anchor*, together with that of an instance of [`enter`] for its types,
//! which decodes the arguments and encodes what comes out.
//!
//! Functions are taken as `fn(A) -> R`, the one type of which a value says all there is to know:
//! the compiler makes one of a closure only if it captures nothing. A generic `F` of size zero
//! would be called without a pointer, but such a closure may have captured a value of size zero
//! that proves something about the process it was made in.
//!
//! What must hold so that a distance is the same function over there:
//!
//! * both processes execute the same file: a worker compares its own, by device and inode, with
//!   what the parent says ([`SameProgram`]). A file that is executed cannot be written to;
//! * the function is in that file, not in a library that is loaded at an address of its own: both
//!   sides look whether its address is within the file's [`Text`].

use std::fs;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::ptr;
use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{self, Answers, Arguments};

/// A function, as another process of the program finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// Distances from the anchor: of an [`Entry`], and of the function it calls.
    entry: i64,
    function: i64,
}

/// Calls the function at an address.
///
/// To be called with the address of a function of just the type that the entry was made for.
type Entry = unsafe fn(*const (), Arguments<'_>, &mut Answers);

/// Proves that the process at the other end of the line executes the same file.
#[derive(Debug)]
pub(super) struct SameProgram(());

/// Where the file's code is in this process.
#[derive(Clone, Copy, Debug)]
struct Text {
    start: usize,
    end: usize,
}

impl Code {
    /// Of a function that is called with each argument.
    ///
    /// # Panics
    ///
    /// If it is not in the program's own file.
    #[track_caller]
    pub(super) fn of<A, R>(f: fn(A) -> R) -> Code
    where
        A: DeserializeOwned,
        R: Serialize,
    {
        Code::new(enter::<A, R>, f as *const ())
    }

    /// Of a function that is called with the parts of each argument.
    ///
    /// # Panics
    ///
    /// If it is not in the program's own file.
    #[track_caller]
    pub(super) fn of_parts<A, R>(f: A::Function) -> Code
    where
        A: Parts<R> + DeserializeOwned,
        R: Serialize,
    {
        Code::new(enter_parts::<A, R>, A::address(f))
    }

    /// Of a function that prepares a worker.
    ///
    /// # Panics
    ///
    /// If it is not in the program's own file.
    #[track_caller]
    pub(super) fn of_initializer<A, E>(f: fn(A) -> Result<(), E>) -> Code
    where
        A: DeserializeOwned,
        E: std::fmt::Display,
    {
        Code::new(enter_initializer::<A, E>, f as *const ())
    }

    #[track_caller]
    fn new(entry: Entry, function: *const ()) -> Code {
        let text = text();
        assert!(
            text.contains(entry as usize) && text.contains(function.addr()),
            "a pool of processes can only call functions of the program's own file, and this one \
             is in a library that is loaded with it; wrap it in a function of yours, and link \
             sedge statically"
        );
        Code {
            entry: distance(entry as usize),
            function: distance(function.addr()),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        let [entry, function] = [self.entry, self.function].map(i64::to_le_bytes);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&entry);
        bytes[8..].copy_from_slice(&function);
        bytes
    }

    /// Reads what [`to_bytes`](Code::to_bytes) has written in a process of the same program.
    pub(super) fn from_bytes(_: &SameProgram, bytes: [u8; 16]) -> Code {
        let half = |at: usize| {
            let half = bytes[at..at + 8].try_into();
            i64::from_le_bytes(half.expect("half of sixteen is eight"))
        };
        Code {
            entry: half(0),
            function: half(8),
        }
    }

    /// Calls it with each of the arguments.
    ///
    /// # Panics
    ///
    /// If there is no code at that distance.
    pub(super) fn call(self, arguments: Arguments<'_>, answers: &mut Answers) {
        let [entry, function] = [self.entry, self.function].map(|distance| {
            let address = anchor_address().wrapping_add_signed(distance as isize);
            assert!(text().contains(address), "an order names what is no code");
            ptr::with_exposed_provenance::<()>(address)
        });
        // SAFETY: a `Code` is only made by `new`, in this process or in one that executes the same
        // file, to which a `SameProgram` testifies; its bytes come over a line that nobody else
        // has an end of. There, the distance was that of an `Entry` in the file's text, so it is
        // here: the text of one file is one piece, whose parts keep their distances.
        let entry = unsafe { mem::transmute::<*const (), Entry>(entry) };
        // SAFETY: `of` and `of_initializer` have paired the entry with a function of its type.
        unsafe { entry(function, arguments, answers) }
    }
}

/// The [`Entry`] for tasks.
///
/// # Safety
///
/// `function` is the address of a `fn(A) -> R`.
unsafe fn enter<A, R>(function: *const (), arguments: Arguments<'_>, answers: &mut Answers)
where
    A: DeserializeOwned,
    R: Serialize,
{
    // SAFETY: the caller's obligation.
    let f = unsafe { mem::transmute::<*const (), fn(A) -> R>(function) };
    codec::answer_each(f, arguments, answers);
}

/// The [`Entry`] for initializers.
///
/// # Safety
///
/// `function` is the address of a `fn(A) -> Result<(), E>`.
unsafe fn enter_initializer<A, E>(
    function: *const (),
    arguments: Arguments<'_>,
    answers: &mut Answers,
) where
    A: DeserializeOwned,
    E: std::fmt::Display,
{
    // SAFETY: the caller's obligation.
    let f = unsafe { mem::transmute::<*const (), fn(A) -> Result<(), E>>(function) };
    let f = |argument| f(argument).map_err(|error| error.to_string());
    codec::answer_each(f, arguments, answers);
}

/// The [`Entry`] for functions of several arguments.
///
/// # Safety
///
/// `function` is the address of an `A::Function`.
unsafe fn enter_parts<A, R>(function: *const (), arguments: Arguments<'_>, answers: &mut Answers)
where
    A: Parts<R> + DeserializeOwned,
    R: Serialize,
{
    // SAFETY: the caller's obligation.
    let f = unsafe { A::at(function) };
    codec::answer_each(|argument: A| argument.call(f), arguments, answers);
}

/// A tuple with whose parts a function pointer can be called; for
/// [`starmap`](super::ProcessPool::starmap). Tuples of one to six parts are.
///
/// # Safety
///
/// `address` gives where the function is.
pub unsafe trait Parts<R> {
    /// The function.
    type Function: Copy;

    /// Calls it.
    fn call(self, f: Self::Function) -> R;

    /// Where it is.
    #[doc(hidden)]
    fn address(f: Self::Function) -> *const ();

    /// The one that is there.
    ///
    /// # Safety
    ///
    /// There is one of this type.
    #[doc(hidden)]
    unsafe fn at(address: *const ()) -> Self::Function;
}

macro_rules! parts {
    ($($part:ident)*) => {
        // SAFETY: a function pointer is the address of its function.
        unsafe impl<R, $($part),*> Parts<R> for ($($part,)*) {
            type Function = fn($($part),*) -> R;

            #[expect(non_snake_case, reason = "each part is named as its type")]
            fn call(self, f: Self::Function) -> R {
                let ($($part,)*) = self;
                f($($part),*)
            }

            fn address(f: Self::Function) -> *const () {
                f as *const ()
            }

            unsafe fn at(address: *const ()) -> Self::Function {
                // SAFETY: the caller's obligation.
                unsafe { mem::transmute::<*const (), Self::Function>(address) }
            }
        }
    };
}

parts!(A);
parts!(A B);
parts!(A B C);
parts!(A B C D);
parts!(A B C D E);
parts!(A B C D E G);

/// What distances are measured from.
#[inline(never)]
fn anchor() {}

fn anchor_address() -> usize {
    (anchor as fn() as *const ()).expose_provenance()
}

fn distance(address: usize) -> i64 {
    address.wrapping_sub(anchor_address()) as i64
}

impl SameProgram {
    /// The file that this process executes, to be compared over there.
    pub(super) fn file() -> std::io::Result<String> {
        let file = fs::metadata("/proc/self/exe")?;
        Ok(format!("{}:{}", file.dev(), file.ino()))
    }

    /// If the other process executes the file that this one does.
    pub(super) fn verify(theirs: &str) -> Option<SameProgram> {
        let ours = SameProgram::file().ok()?;
        (ours == theirs).then_some(SameProgram(()))
    }
}

impl Text {
    fn contains(self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// The executable mappings of the file that this process executes, if the anchor is in one.
    fn find() -> Option<Text> {
        let program = fs::metadata("/proc/self/exe").ok()?.ino().to_string();
        let maps = fs::read_to_string("/proc/self/maps").ok()?;
        Text::read(&maps, &program, anchor_address())
    }

    /// The same, told by the lines of the kernel. Of the program's file only the inode is compared:
    /// some file systems say another device in a mapping than of a file. Between mappings both
    /// count, for a library on another device may have the inode of the program.
    fn read(maps: &str, program: &str, anchor: usize) -> Option<Text> {
        let pieces = || {
            maps.lines().filter_map(|line| {
                // 55d0c5a00000-55d0c5a51000 r-xp 00008000 fe:01 131244     /usr/bin/program
                let mut words = line.split_ascii_whitespace();
                let (start, end) = words.next()?.split_once('-')?;
                let is_code = words.next()?.contains('x');
                let file = (words.nth(1)?, words.next()?);
                let address = |digits| usize::from_str_radix(digits, 16).ok();
                let (start, end) = (address(start)?, address(end)?);
                is_code.then_some((Text { start, end }, file))
            })
        };
        let (_, ours) = pieces().find(|(piece, _)| piece.contains(anchor))?;
        let of_ours = pieces().filter(|&(_, file)| file == ours && file.1 == program);
        of_ours.map(|(piece, _)| piece).reduce(|all, piece| Text {
            start: all.start.min(piece.start),
            end: all.end.max(piece.end),
        })
    }
}

/// Empty where it cannot be found, so that nothing is in it.
fn text() -> Text {
    static TEXT: OnceLock<Text> = OnceLock::new();
    *TEXT.get_or_init(|| Text::find().unwrap_or(Text { start: 0, end: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(n: u32) -> u32 {
        2 * n
    }

    fn call<A: Serialize, R: DeserializeOwned>(code: Code, argument: A) -> R {
        let file = SameProgram::file().unwrap();
        let same = SameProgram::verify(&file).unwrap();
        let code = Code::from_bytes(&same, code.to_bytes());
        let mut encoded = Vec::new();
        codec::encode(&argument, &mut encoded, usize::MAX).unwrap();
        let mut answers = Answers::new(usize::MAX);
        code.call(Arguments::new(&encoded, 1), &mut answers);
        let answer = codec::read_answers(answers.bytes(), 1, 1).pop().unwrap();
        answer.unwrap()
    }

    #[test]
    fn a_function_is_found_again_by_its_distance() {
        assert_eq!(call::<u32, u32>(Code::of(double), 21), 42);
        assert_eq!(
            call::<u32, String>(Code::of(|n: u32| n.to_string()), 7),
            "7"
        );
    }

    #[test]
    fn an_initializer_answers_with_the_text_of_its_error() {
        let code = Code::of_initializer(|text: String| text.parse::<u8>().map(drop));
        let answer: Result<(), String> = call(code, "x".to_owned());
        assert_eq!(answer, Err("invalid digit found in string".to_owned()));
    }

    #[test]
    fn what_is_in_a_library_is_refused() {
        let abs: extern "C" fn(i32) -> i32 = libc_abs();
        assert!(!text().contains(abs as usize));
        assert!(text().contains(double as fn(u32) -> u32 as usize));
    }

    fn libc_abs() -> extern "C" fn(i32) -> i32 {
        unsafe extern "C" {
            safe fn abs(n: i32) -> i32;
        }
        abs
    }

    #[test]
    fn a_library_that_has_the_inode_of_the_program_on_another_device_is_not_its_code() {
        let maps = "\
            1000-2000 r--p 00000000 fe:01 77 /bin/program\n\
            2000-4000 r-xp 00001000 fe:01 77 /bin/program\n\
            4000-5000 r-xp 00003000 fe:01 77 /bin/program\n\
            8000-9000 r-xp 00000000 00:2a 77 /mnt/library.so\n";
        let text = Text::read(maps, "77", 0x2100).unwrap();
        assert_eq!((text.start, text.end), (0x2000, 0x5000));
        assert!(Text::read(maps, "78", 0x2100).is_none());
        assert!(Text::read(maps, "77", 0x6000).is_none());
    }

    #[test]
    fn another_program_is_not_the_same() {
        assert!(SameProgram::verify("0:0").is_none());
    }
}
