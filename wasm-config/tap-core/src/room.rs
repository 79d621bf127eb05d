//! The bytes that all queues of one VM hold together: a root that joins others gets no more memory, it shares theirs.

use std::cell::Cell;
use std::rc::Rc;

/// What is held now, what of it by tails of open bodies, and what is set aside for sealing.
#[derive(Debug, Default)]
pub struct Room {
    held: Cell<usize>,
    set_aside: Cell<usize>,
    tails: Cell<usize>,
}

impl Room {
    /// Bytes that wait or are retained, in all queues.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// Bytes that tails of open bodies hold.
    #[must_use]
    pub fn tails(&self) -> usize {
        self.tails.get()
    }

    /// Holds so many bytes for the tail of an open body.
    #[must_use]
    pub fn hold_tail(self: &Rc<Self>, bytes: usize) -> Hold {
        self.hold(bytes);
        self.tails.set(self.tails.get().saturating_add(bytes));
        Hold { room: Rc::clone(self), bytes }
    }

    /// Of so many bytes, those that fragments may fill.
    #[must_use]
    pub fn of(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.set_aside.get())
    }

    /// More is held.
    pub fn hold(&self, bytes: usize) {
        self.held.set(self.held.get().saturating_add(bytes));
    }

    /// Less is held.
    pub fn let_go(&self, bytes: usize) {
        self.held.set(self.held.get().saturating_sub(bytes));
    }

    /// Sealing in one more queue may add so many bytes.
    pub fn set_aside(&self, bytes: usize) {
        self.set_aside.set(self.set_aside.get().saturating_add(bytes));
    }

    /// A queue that had set so many bytes aside is no more.
    pub fn give_back(&self, bytes: usize) {
        self.set_aside.set(self.set_aside.get().saturating_sub(bytes));
    }
}

/// Bytes of a tail, held for as long as this lives.
#[derive(Debug)]
pub struct Hold {
    room: Rc<Room>,
    bytes: usize,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.room.let_go(self.bytes);
        self.room.tails.set(self.room.tails.get().saturating_sub(self.bytes));
    }
}
