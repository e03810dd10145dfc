//! Is this a value of Thrift's compact protocol that can be read? A list may say that it has as
//! many items as it likes, and what reads it makes room for all of them before the first.
//!
//! Source: Thrift's specification of the compact protocol.

/// How deep values are nested at most.
const DEPTH: usize = 16;
/// What the shortest structure of a footer takes: one required field, and the end.
const SHORTEST: usize = 3;

/// Checks a structure at the begin of some bytes: no list has more items than there are bytes for
/// them.
pub(crate) fn is_sound(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    structure(&mut rest, DEPTH).is_some()
}

fn structure(rest: &mut &[u8], depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    loop {
        let header = byte(rest)?;
        if header == 0 {
            return Some(());
        }
        if header >> 4 == 0 {
            varint(rest)?;
        }
        match header & 15 {
            // A truth value stands in the header.
            1 | 2 => {}
            sort => value(rest, sort, depth)?,
        }
    }
}

fn value(rest: &mut &[u8], sort: u8, depth: usize) -> Option<()> {
    match sort {
        1..=3 => byte(rest).map(|_| ()),
        4..=6 => varint(rest).map(|_| ()),
        7 => skip(rest, 8),
        8 => {
            let length = count(rest)?;
            skip(rest, length)
        }
        9 | 10 => list(rest, depth.checked_sub(1)?),
        11 => map(rest, depth.checked_sub(1)?),
        12 => structure(rest, depth),
        _ => None,
    }
}

fn list(rest: &mut &[u8], depth: usize) -> Option<()> {
    let header = byte(rest)?;
    let items = if header >> 4 == 15 {
        count(rest)?
    } else {
        usize::from(header >> 4)
    };
    let sort = header & 15;
    let shortest = if sort == 12 { SHORTEST } else { 1 };
    if items > rest.len() / shortest {
        return None;
    }
    (0..items).try_for_each(|_| value(rest, sort, depth))
}

fn map(rest: &mut &[u8], depth: usize) -> Option<()> {
    let pairs = count(rest)?;
    if pairs == 0 {
        return Some(());
    }
    let sorts = byte(rest)?;
    if pairs > rest.len() {
        return None;
    }
    for _ in 0..pairs {
        value(rest, sorts >> 4, depth)?;
        value(rest, sorts & 15, depth)?;
    }
    Some(())
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

fn skip(rest: &mut &[u8], bytes: usize) -> Option<()> {
    *rest = rest.get(bytes..)?;
    Some(())
}

/// Returns how many items or bytes follow.
fn count(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(varint(rest)?).ok()
}

/// Reads a number in pieces of seven bits, the lowest first.
pub(crate) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let part = byte(rest)?;
        number |= u64::from(part & 0x7f) << shift;
        if part < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_no_more_items_than_bytes() {
        // Field 1, a list of two integers; field 2, text; the end.
        assert!(is_sound(&[0x19, 0x25, 2, 4, 0x18, 2, b'a', b'b', 0]));
        assert!(!is_sound(&[0x19, 0xf5, 0xff, 0xff, 0x7f, 2, 4, 0]));
        assert!(!is_sound(&[0x19, 0x2c, 0x15, 2, 0]));
        assert!(!is_sound(&[0x18, 9, b'a', 0]));
        assert!(!is_sound(&[0x15, 0xff]));
        assert!(!is_sound(&[0x1c; 100]));
        assert!(!is_sound(&[]));
    }
}
