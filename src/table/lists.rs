//! Doubly linked lists through a slab, by slot: a flow is in two of them, one of its state and one of its peer's.

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// The two neighbours of a slot in one list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) prev: u32,
    pub(super) next: u32,
}

impl Link {
    pub(super) const UNLINKED: Self = Self { prev: NIL, next: NIL };
}

/// The ends of a list: the longest silent first.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    pub(super) head: u32,
    pub(super) tail: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NIL, tail: NIL }
    }
}

impl List {
    /// Adds the slot at the end. `link` gives a slot's link in this list.
    pub(super) fn push<T>(&mut self, slab: &mut [T], slot: u32, link: impl Fn(&mut T) -> &mut Link) {
        *link(&mut slab[slot as usize]) = Link { prev: self.tail, next: NIL };
        match self.tail {
            NIL => self.head = slot,
            tail => link(&mut slab[tail as usize]).next = slot,
        }
        self.tail = slot;
    }

    /// Takes the slot out.
    pub(super) fn remove<T>(&mut self, slab: &mut [T], slot: u32, link: impl Fn(&mut T) -> &mut Link) {
        let Link { prev, next } = std::mem::replace(link(&mut slab[slot as usize]), Link::UNLINKED);
        match prev {
            NIL => self.head = next,
            prev => link(&mut slab[prev as usize]).next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => link(&mut slab[next as usize]).prev = prev,
        }
    }
}
