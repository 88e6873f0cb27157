//! A copy of a `hostent`, a structure full of pointers, into one buffer.

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::ptr;

use libc::hostent;

/// Copies an entry and what it points to; `None` if the buffer is too small.
///
/// # Safety
///
/// The entry is as libc fills it: a name, and two lists of pointers that end with null, of strings
/// and of addresses.
pub(super) unsafe fn copy(entry: &hostent, buffer: &mut [MaybeUninit<u8>]) -> Option<hostent> {
    let mut room = Room { left: buffer };
    let len = usize::try_from(entry.h_length).ok()?;
    // SAFETY: the caller answers for this list.
    let aliases = unsafe { list(entry.h_aliases) };
    // SAFETY: and for this.
    let addresses = unsafe { list(entry.h_addr_list) };
    let mut new_aliases = room.pointers(aliases.len() + 1)?;
    let mut new_addresses = room.pointers(addresses.len() + 1)?;
    let h_aliases = new_aliases.start;
    let h_addr_list = new_addresses.start;
    for address in addresses {
        // SAFETY: an address of the entry's length.
        let bytes = unsafe { std::slice::from_raw_parts(address.cast::<u8>(), len) };
        new_addresses.push(room.bytes(bytes)?);
    }
    for alias in aliases {
        // SAFETY: a string.
        let alias = unsafe { CStr::from_ptr(alias) };
        new_aliases.push(room.bytes(alias.to_bytes_with_nul())?);
    }
    // SAFETY: a string.
    let name = unsafe { CStr::from_ptr(entry.h_name) };
    Some(hostent {
        h_name: room.bytes(name.to_bytes_with_nul())?,
        h_aliases,
        h_addrtype: entry.h_addrtype,
        h_length: entry.h_length,
        h_addr_list,
    })
}

/// The pointers of a list, without the null at its end.
///
/// # Safety
///
/// Null, or one that ends with null.
unsafe fn list(mut next: *mut *mut c_char) -> Vec<*mut c_char> {
    let mut all = Vec::new();
    while !next.is_null() {
        // SAFETY: not behind the null at the end, where this returns.
        let pointer = unsafe { *next };
        if pointer.is_null() {
            break;
        }
        all.push(pointer);
        next = next.wrapping_add(1);
    }
    all
}

/// What is left of a buffer.
struct Room<'a> {
    left: &'a mut [MaybeUninit<u8>],
}

impl Room<'_> {
    fn take(&mut self, len: usize) -> Option<*mut u8> {
        let left = std::mem::take(&mut self.left);
        if len > left.len() {
            return None;
        }
        let (taken, left) = left.split_at_mut(len);
        self.left = left;
        Some(taken.as_mut_ptr().cast())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<*mut c_char> {
        let place = self.take(bytes.len())?;
        // SAFETY: the place was just taken, and has so many bytes.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        Some(place.cast())
    }

    /// A list of null pointers.
    fn pointers(&mut self, count: usize) -> Option<Pointers> {
        let align = align_of::<*mut c_char>();
        self.take(self.left.as_ptr().align_offset(align))?;
        let start = self
            .take(count * size_of::<*mut c_char>())?
            .cast::<*mut c_char>();
        // SAFETY: the place was just taken, is aligned, and has room for so many.
        unsafe { ptr::write_bytes(start, 0, count) };
        Some(Pointers { start, next: start })
    }
}

/// A list that is being filled; who asked for it leaves the last one null.
struct Pointers {
    start: *mut *mut c_char,
    next: *mut *mut c_char,
}

impl Pointers {
    fn push(&mut self, pointer: *mut c_char) {
        // SAFETY: there is room for as many as were asked for, and one more is.
        unsafe { self.next.write(pointer) };
        self.next = self.next.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::copy;
    use std::ffi::{CStr, c_char};
    use std::mem::MaybeUninit;
    use std::ptr;

    #[test]
    fn a_copy_has_everything_and_points_into_its_buffer() {
        let mut aliases = [
            c"a".as_ptr().cast_mut(),
            c"bc".as_ptr().cast_mut(),
            ptr::null_mut(),
        ];
        let address: [c_char; 4] = [127, 0, 0, 1];
        let mut addresses = [address.as_ptr().cast_mut(), ptr::null_mut()];
        let entry = libc::hostent {
            h_name: c"name".as_ptr().cast_mut(),
            h_aliases: aliases.as_mut_ptr(),
            h_addrtype: libc::AF_INET,
            h_length: 4,
            h_addr_list: addresses.as_mut_ptr(),
        };
        let mut buffer = [MaybeUninit::uninit(); 128];
        let range = buffer.as_ptr_range();
        // SAFETY: the entry is made above as libc would.
        let made = unsafe { copy(&entry, &mut buffer[1..]) }.unwrap();
        assert!(range.contains(&made.h_name.cast_const().cast()));
        // SAFETY: the copy has two aliases and the null behind them.
        let new_aliases = unsafe { made.h_aliases.cast::<[*mut c_char; 3]>().read() };
        // SAFETY: it has an address.
        let first = unsafe { made.h_addr_list.read() };
        // SAFETY: a string of the copy's.
        let name = unsafe { CStr::from_ptr(made.h_name) };
        // SAFETY: as above.
        let second = unsafe { CStr::from_ptr(new_aliases[1]) };
        let end = new_aliases[2];
        assert_eq!((name, second), (c"name", c"bc"));
        assert!(end.is_null() && range.contains(&first.cast_const().cast()));
        // SAFETY: as above.
        let none = unsafe { copy(&entry, &mut buffer[..40]) };
        assert!(none.is_none());
    }
}
