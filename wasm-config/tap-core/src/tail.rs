//! The last bytes of a body beyond its capture limit, held while it passes: servers tell usage there.

use crate::room::Hold;

/// A ring of the last bytes that passed.
#[derive(Debug)]
pub struct Tail {
    ring: Vec<u8>,
    /// Where the oldest byte lies once the ring is full.
    at: usize,
    most: usize,
    // Gives the memory back when the tail goes.
    _hold: Hold,
}

impl Tail {
    /// An empty one of `most` bytes, which are held already.
    #[must_use]
    pub fn new(most: usize, hold: Hold) -> Self {
        Self { ring: Vec::with_capacity(most), at: 0, most, _hold: hold }
    }

    /// More bytes pass; of those before them the oldest go.
    pub fn push(&mut self, data: &[u8]) {
        if data.len() >= self.most {
            self.clear();
        }
        let newest = data.get(data.len().saturating_sub(self.most)..).unwrap_or_default();
        let room = self.most.saturating_sub(self.ring.len()).min(newest.len());
        let (fresh, over) = newest.split_at_checked(room).unwrap_or_default();
        self.ring.extend_from_slice(fresh);
        self.overwrite(over);
    }

    /// What was held is no longer what passed last.
    pub fn clear(&mut self) {
        self.ring.clear();
        self.at = 0;
    }

    /// The bytes in their order, in memory of their size.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.ring;
        let oldest = self.at.min(bytes.len());
        bytes.rotate_left(oldest);
        bytes.shrink_to_fit();
        bytes
    }

    /// Bytes over the oldest ones of a full ring, which has room for as many.
    fn overwrite(&mut self, data: &[u8]) {
        let to_end = self.most.saturating_sub(self.at).min(data.len());
        let (first, second) = data.split_at_checked(to_end).unwrap_or_default();
        for (start, part) in [(self.at, first), (0, second)] {
            if let Some(place) = self.ring.get_mut(start..start.saturating_add(part.len())) {
                place.copy_from_slice(part);
            }
        }
        self.at = self.at.saturating_add(data.len()).checked_rem(self.most).unwrap_or(0);
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::Tail;
    use crate::room::Room;
    use std::rc::Rc;

    #[test]
    fn it_is_what_passed_last_whatever_the_pieces() {
        for most in [1, 2, 7, 64] {
            for step in 1..=80_usize {
                let room = Rc::new(Room::default());
                let passed: Vec<u8> = (0..200).map(|at| at as u8).collect();
                let mut tail = Tail::new(most, room.hold_tail(most));
                passed.chunks(step).for_each(|piece| tail.push(piece));
                assert_eq!((room.held(), room.tails()), (most, most));
                assert_eq!(tail.into_bytes(), passed[200 - most..], "{step} of {most}");
                assert_eq!((room.held(), room.tails()), (0, 0));
            }
        }
    }

    #[test]
    fn a_shorter_one_is_all_that_passed() {
        let mut tail = Tail::new(10, Rc::new(Room::default()).hold_tail(10));
        tail.push(b"lost");
        tail.clear();
        tail.push(b"ab");
        tail.push(b"");
        tail.push(b"c");
        assert_eq!(tail.into_bytes(), b"abc");
    }
}
