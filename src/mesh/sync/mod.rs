//! Rosters that travel: who has which, who is told, and what is fetched from whom.
//!
//! A node tells a peer its digest (owner, serial and hash of each roster that the peer's owner accepts) when a session
//! comes up, now and then to one peer by chance, and to a few by chance, some times over, when it has something newer:
//! so news spread like an epidemic, and what each node says does not grow with the mesh. Who hears of something newer
//! fetches it from who said so; who hears of something older tells its own digest. The same serial with other content
//! is fetched too, for nobody believes an equivocation that the owner did not sign.
//!
//! What was fetched is judged above ([`accept`](super::accept)), and the verdict comes back. A peer that gave what is
//! nothing is not asked for a while, for longer each time. Everything is bounded for each owner and each peer.

mod agreed;
mod shelf;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

pub use super::accept::Meaning;
use super::dice::Dice;
use super::wire::{DigestEntry, OwnerTag, ShortHash};
use crate::base::signify::Signature;
use crate::base::{DropReason, Name};
use crate::packet::TokenBucket;
use crate::table::PeerId;
use shelf::Entry;
pub use shelf::{Content, Shelf, short, tag_of};

/// How often one peer by chance is told what is here, and the jitter.
const CHAT_EVERY: Duration = Duration::from_secs(25);
const CHAT_JITTER: Duration = Duration::from_secs(10);
/// When something is new: so many peers are told, so many times, so far apart.
const FAN_OUT: usize = 4;
const ROUNDS: u8 = 3;
const ROUND_EVERY: Duration = Duration::from_millis(700);
const ROUND_JITTER: Duration = Duration::from_millis(300);
/// Fetches at a time: of all owners, and of one owner's roster from several peers.
const FETCHES_MAX: usize = 6;
const FETCHES_OF_ONE_MAX: usize = 2;
/// How long a fetch may take before somebody else is asked for the same.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a judgement may take; it is slow on a router.
const JUDGEMENT: Duration = Duration::from_secs(120);
/// Contents of one owner that are remembered as refused.
const REFUSED_MAX: usize = 8;
/// For how long a peer is not asked that gave nothing good, at first and at most.
const SHUN: Duration = Duration::from_secs(2);
const SHUN_MAX: Duration = Duration::from_secs(3600);
/// What waits to be done at most.
const ACTIONS_MAX: usize = 256;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send the peer the digest for it.
    Tell(PeerId),
    /// Send the peer what of it the peer may not know, if there is anything.
    Greet(PeerId),
    /// Fetch this roster from the peer.
    Fetch { peer: PeerId, owner: OwnerTag, hash: ShortHash },
}

/// What is told of one owner's roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<'a> {
    pub owner: &'a Name,
    /// When it came into force here.
    pub since: Instant,
    /// Who gave it; `None`: it was on the disk.
    pub from: Option<&'a str>,
    /// Why the last one that was given was refused, unless a better one came since.
    pub refused: Option<&'a str>,
}

/// The state of one node.
#[derive(Debug)]
pub struct Sync {
    slots: Vec<Slot>,
    /// How often it changed.
    changes: u64,
    manners: HashMap<PeerId, Manners>,
    actions: VecDeque<Action>,
    dice: Dice,
    /// Rounds of news that are still to go, and when the next one does.
    rounds: u8,
    round: Instant,
    /// When somebody is told next by chance; `None`: there is nobody.
    chat: Option<Instant>,
    /// When what could not be asked for is asked for again.
    retry: Option<Instant>,
}

/// One owner's roster here.
#[derive(Debug)]
struct Slot {
    entry: Entry,
    /// The change that brought it.
    change: u64,
    since: Instant,
    from: Option<String>,
    asked: Vec<Asked>,
    /// Something newer that could not be asked for at once.
    later: Option<(PeerId, ShortHash)>,
    judged: Option<Judged>,
    refused: VecDeque<Refused>,
    why: Option<String>,
    fetches: TokenBucket,
}

/// A content that is not fetched again.
#[derive(Debug, Clone, Copy)]
struct Refused {
    hash: ShortHash,
    for_good: bool,
}

/// What became of a roster that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is in force.
    Accepted,
    /// It is not, and `why` is for people.
    Refused { why: String, meaning: Meaning },
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    peer: PeerId,
    hash: ShortHash,
    since: Instant,
}

/// What is being judged.
#[derive(Debug)]
struct Judged {
    hash: ShortHash,
    peer: Option<PeerId>,
    from: String,
    since: Instant,
}

/// What is remembered of a peer's.
#[derive(Debug)]
struct Manners {
    digests: TokenBucket,
    answers: TokenBucket,
    /// The last change that it is known to know of.
    agreed: u64,
    strikes: u32,
    shunned: Option<Instant>,
}

impl Sync {
    /// Nothing on the shelf. `seed` is random.
    #[must_use]
    pub fn new(seed: u64, now: Instant) -> Self {
        Self {
            slots: Vec::new(),
            changes: 0,
            manners: HashMap::new(),
            actions: VecDeque::new(),
            dice: Dice::new(seed),
            rounds: 0,
            round: now,
            chat: None,
            retry: None,
        }
    }

    /// What is in force now. `alone`: there is no other mesh node. Whether something of it is new; then others are told.
    pub fn set_shelf(&mut self, shelf: Shelf, alone: bool, now: Instant) -> bool {
        let mut old: HashMap<_, _> = self.slots.drain(..).map(|slot| (slot.entry.tag, slot)).collect();
        let (mut changed, mut others) = (false, false);
        for entry in shelf.entries {
            let slot = match old.remove(&entry.tag) {
                Some(slot) if slot.entry.content == entry.content => Slot { entry, ..slot },
                before => {
                    changed = true;
                    others |= before.as_ref().is_none_or(|slot| slot.entry.friends != entry.friends);
                    Slot { change: self.next_change(), ..Slot::new(entry, before, now) }
                }
            };
            self.slots.push(slot);
        }
        if others || !old.is_empty() {
            // Who may have what is another matter now.
            for at in 0..self.slots.len() {
                self.slots[at].change = self.next_change();
            }
        }
        if changed || !old.is_empty() {
            // What was refused for the others' sake may stand now; what is signed twice never does.
            for slot in &mut self.slots {
                slot.refused.retain(|refused| refused.for_good);
            }
        }
        if changed && !alone {
            self.rounds = ROUNDS;
            self.round = now + self.dice.up_to(Duration::from_millis(50));
        }
        if alone {
            self.chat = None;
            self.rounds = 0;
        } else if self.chat.is_none() {
            self.chat = Some(now + self.dice.up_to(CHAT_EVERY));
        }
        changed
    }

    /// The tag of an accepted owner.
    #[must_use]
    pub fn tag(&self, owner: &Name) -> Option<OwnerTag> {
        self.slots.iter().find(|slot| slot.entry.owner == *owner).map(|slot| slot.entry.tag)
    }

    /// The owner with this tag.
    #[must_use]
    pub fn owner(&self, tag: OwnerTag) -> Option<&Name> {
        self.slots.iter().find(|slot| slot.entry.tag == tag).map(|slot| &slot.entry.owner)
    }

    /// The accepted owner who signed a roster: dear, for every call checks a signature.
    #[must_use]
    pub fn signer(&self, signature: &Signature, roster: &[u8]) -> Option<(OwnerTag, &Name)> {
        let entries = self.slots.iter().map(|slot| &slot.entry);
        let mut named = entries.filter(|entry| entry.key.number() == signature.number());
        let entry = named.find(|entry| entry.key.verify(roster, signature).is_ok())?;
        Some((entry.tag, &entry.owner))
    }

    /// What `status` tells of an owner's roster.
    #[must_use]
    pub fn told(&self, owner: &Name) -> Option<Told<'_>> {
        let slot = self.slots.iter().find(|slot| slot.entry.owner == *owner)?;
        Some(Told {
            owner: &slot.entry.owner,
            since: slot.since,
            from: slot.from.as_deref(),
            refused: slot.why.as_deref(),
        })
    }

    /// The peer is gone.
    pub fn forget(&mut self, peer: PeerId) {
        self.manners.remove(&peer);
        self.actions.retain(|action| !matches!(action, Action::Tell(to) | Action::Greet(to) if *to == peer));
        for slot in &mut self.slots {
            slot.asked.retain(|asked| asked.peer != peer);
            slot.later = slot.later.filter(|(from, _)| *from != peer);
        }
    }

    /// A mesh node has a session.
    pub fn handle_up(&mut self, peer: PeerId) {
        self.act(Action::Greet(peer));
    }

    /// What a node of this owner is told; `None`: nobody knows whose it is, as before the first roster.
    #[must_use]
    pub fn digest_for(&self, whose: Option<OwnerTag>) -> Vec<[u8; DigestEntry::LENGTH]> {
        let told = self.slots.iter().filter(|slot| self.may_have(whose, slot.entry.tag));
        told.map(Slot::digest_entry).collect()
    }

    /// Whether a node of this owner may have that owner's roster.
    fn may_have(&self, whose: Option<OwnerTag>, tag: OwnerTag) -> bool {
        let Some(whose) = whose else { return self.slots.iter().all(|slot| slot.entry.content.is_none()) };
        let friends = self.slots.iter().find(|slot| slot.entry.tag == whose).map(|slot| &slot.entry.friends);
        whose == tag || friends.is_some_and(|friends| friends.contains(&tag))
    }

    /// The roster that a node of this owner asked for, if it may have it.
    #[must_use]
    pub fn serve(&self, whose: Option<OwnerTag>, owner: OwnerTag, hash: ShortHash) -> Option<&Content> {
        let slot = self.slots.iter().find(|slot| slot.entry.tag == owner)?;
        let content = slot.entry.content.as_ref()?;
        (self.may_have(whose, owner) && content.short_hash() == hash).then_some(content)
    }

    /// A peer, a node of this owner, told what it has.
    ///
    /// # Errors
    /// [`DropReason::ControlLimited`]: it says so more often than it needs to.
    pub fn handle_digest(
        &mut self,
        peer: PeerId,
        whose: Option<OwnerTag>,
        entries: impl Iterator<Item = DigestEntry>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let manners = self.manners.entry(peer).or_insert_with(|| Manners::new(now));
        if !manners.digests.take(now) {
            return Err(DropReason::ControlLimited);
        }
        let (mut behind, mut agreed) = (false, vec![false; self.slots.len()]);
        for entry in entries {
            let Some(at) = self.slots.iter().position(|slot| slot.entry.tag == entry.owner) else { continue };
            let content = self.slots[at].entry.content.as_ref();
            let serial = content.map_or(0, |content| content.serial);
            let same = content.is_some_and(|content| content.short_hash() == entry.hash);
            agreed[at] = entry.serial == serial && (same || serial == 0);
            if entry.serial > serial || (entry.serial == serial && serial > 0 && !same) {
                let is_first = self.want(at, peer, entry.hash, now);
                // Both sides of an equivocation are to see it.
                behind |= entry.serial == serial && is_first;
            } else {
                behind |= entry.serial < serial && self.may_have(whose, entry.owner);
            }
        }
        self.agree(peer, whose, &agreed);
        let manners = self.manners.entry(peer).or_insert_with(|| Manners::new(now));
        if behind && manners.answers.take(now) {
            self.act(Action::Tell(peer));
        }
        Ok(())
    }

    /// Asks the peer for a roster, unless it is asked for or known to be nothing. Whether it was not seen before.
    fn want(&mut self, at: usize, peer: PeerId, hash: ShortHash, now: Instant) -> bool {
        let total: usize = self.slots.iter().map(|slot| slot.asked.len()).sum();
        let shunned = self.manners.get(&peer).is_some_and(|manners| manners.is_shunned(now));
        let slot = &mut self.slots[at];
        let known = slot.is_refused(hash) || slot.judged.as_ref().is_some_and(|one| one.hash == hash);
        if known || shunned {
            return false;
        }
        let is_asked = |asked: &Asked| {
            asked.peer == peer
                || (asked.hash == hash && now.saturating_duration_since(asked.since) < PATIENCE)
        };
        let busy = slot.judged.is_some() || slot.asked.iter().any(is_asked);
        if busy || slot.asked.len() >= FETCHES_OF_ONE_MAX || total >= FETCHES_MAX || !slot.fetches.take(now) {
            slot.later = Some((peer, hash));
            self.retry.get_or_insert(now + PATIENCE);
            return true;
        }
        slot.asked.push(Asked { peer, hash, since: now });
        self.act(Action::Fetch { peer, owner: self.slots[at].entry.tag, hash });
        true
    }

    /// What was asked for is here, and is being judged. `false`: nobody waits for it any more.
    pub fn handle_fetched(
        &mut self,
        peer: PeerId,
        owner: OwnerTag,
        hash: ShortHash,
        from: String,
        now: Instant,
    ) -> bool {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.entry.tag == owner) else { return false };
        slot.asked.retain(|asked| asked.peer != peer);
        let wanted = slot.judged.is_none() && !slot.is_refused(hash);
        if wanted {
            slot.judged = Some(Judged { hash, peer: Some(peer), from, since: now });
            self.retry.get_or_insert(now + JUDGEMENT);
        }
        wanted
    }

    /// The peer did not give what it said it has.
    pub fn handle_failed(&mut self, peer: PeerId, owner: OwnerTag, now: Instant) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.entry.tag == owner) {
            slot.asked.retain(|asked| asked.peer != peer);
        }
        self.strike(peer, now);
        self.ask_again(now);
    }

    /// What became of a roster that was given; `hash` is that of what came, whatever was said of it.
    pub fn handle_verdict(&mut self, owner: OwnerTag, hash: &[u8; 32], verdict: &Verdict, now: Instant) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.entry.tag == owner) else { return };
        let judged = slot.judged.take();
        let peer = judged.as_ref().and_then(|judged| judged.peer);
        let said = judged.as_ref().map_or(short(hash), |judged| judged.hash);
        let mut blame = said != short(hash);
        match verdict {
            Verdict::Accepted => {
                slot.why = None;
                slot.from = judged.map(|judged| judged.from).or(slot.from.take());
            }
            Verdict::Refused { meaning: Meaning::Forged, .. } => blame = true,
            Verdict::Refused { why, meaning } => {
                slot.why = Some(why.clone());
                for hash in [said, short(hash)] {
                    slot.refuse(Refused { hash, for_good: *meaning == Meaning::Never });
                }
            }
        }
        match peer {
            Some(peer) if blame => self.strike(peer, now),
            Some(peer) => {
                if let Some(manners) = self.manners.get_mut(&peer) {
                    manners.strikes = 0;
                }
            }
            None => {}
        }
        self.ask_again(now);
    }

    /// Somebody brought a roster of this owner's; it is being judged. `false`: another one is.
    pub fn handle_brought(&mut self, owner: OwnerTag, hash: &[u8; 32], from: String, now: Instant) -> bool {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.entry.tag == owner) else { return false };
        let free = slot.judged.is_none();
        if free {
            slot.judged = Some(Judged { hash: short(hash), peer: None, from, since: now });
            self.retry.get_or_insert(now + JUDGEMENT);
        }
        free
    }

    fn strike(&mut self, peer: PeerId, now: Instant) {
        let manners = self.manners.entry(peer).or_insert_with(|| Manners::new(now));
        let shun = SHUN.saturating_mul(1 << manners.strikes.min(16)).min(SHUN_MAX);
        manners.strikes = manners.strikes.saturating_add(1);
        manners.shunned = Some(now + shun);
    }

    /// Asks for what could not be asked for before.
    fn ask_again(&mut self, now: Instant) {
        for at in 0..self.slots.len() {
            if self.slots[at].judged.is_none()
                && let Some((peer, hash)) = self.slots[at].later.take()
                && self.slots[at].entry.content.as_ref().is_none_or(|content| content.short_hash() != hash)
            {
                self.want(at, peer, hash, now);
            }
        }
    }

    /// When [`Sync::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let round = (self.rounds > 0).then_some(self.round);
        [round, self.chat, self.retry].into_iter().flatten().min()
    }

    /// Does what is due. `others` gives the mesh nodes that have a session.
    pub fn handle_timeout(&mut self, now: Instant, others: impl FnOnce() -> Vec<PeerId>) {
        let round = self.rounds > 0 && self.round <= now;
        let chat = self.chat.is_some_and(|at| at <= now);
        if round || chat {
            let mut others = others();
            let count = self.dice.some_of(&mut others, if round { FAN_OUT } else { 1 });
            for &peer in &others[..count] {
                self.act(Action::Tell(peer));
            }
        }
        if round {
            self.rounds -= 1;
            self.round = now + ROUND_EVERY + self.dice.up_to(ROUND_JITTER);
        }
        if chat {
            self.chat = Some(now + CHAT_EVERY + self.dice.up_to(CHAT_JITTER));
        }
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
            for slot in &mut self.slots {
                let late = |judged: &Judged| now.saturating_duration_since(judged.since) >= JUDGEMENT;
                if slot.judged.as_ref().is_some_and(late) {
                    slot.judged = None;
                }
            }
            self.ask_again(now);
            if self.slots.iter().any(|slot| slot.later.is_some()) {
                self.retry.get_or_insert(now + PATIENCE);
            }
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn act(&mut self, action: Action) {
        if self.actions.len() < ACTIONS_MAX && !self.actions.contains(&action) {
            self.actions.push_back(action);
        }
    }
}

impl Slot {
    fn digest_entry(&self) -> [u8; DigestEntry::LENGTH] {
        let content = self.entry.content.as_ref();
        let serial = content.map_or(0, |content| content.serial);
        let hash = content.map(Content::short_hash).unwrap_or_default();
        DigestEntry { owner: self.entry.tag, serial, hash }.to_bytes()
    }

    fn is_refused(&self, hash: ShortHash) -> bool {
        self.refused.iter().any(|refused| refused.hash == hash)
    }

    fn refuse(&mut self, refused: Refused) {
        if !self.is_refused(refused.hash) {
            if self.refused.len() == REFUSED_MAX {
                self.refused.pop_front();
            }
            self.refused.push_back(refused);
        }
    }

    fn new(entry: Entry, before: Option<Self>, now: Instant) -> Self {
        let mut slot = before.unwrap_or_else(|| Self {
            entry: entry.clone(),
            change: 0,
            since: now,
            from: None,
            asked: Vec::new(),
            later: None,
            judged: None,
            refused: VecDeque::new(),
            why: None,
            fetches: TokenBucket::new(1, 4, now),
        });
        slot.entry = entry;
        slot.since = now;
        slot.why = None;
        slot.from = None;
        slot
    }
}

impl Manners {
    fn new(now: Instant) -> Self {
        Self {
            digests: TokenBucket::new(5, 20, now),
            answers: TokenBucket::new(1, 4, now),
            agreed: 0,
            strikes: 0,
            shunned: None,
        }
    }

    fn is_shunned(&self, now: Instant) -> bool {
        self.shunned.is_some_and(|until| now < until)
    }
}
