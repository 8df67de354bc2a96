//! `parents` and `children`: a mandatory foreign key, and a count kept in the same transaction.

use rand::Rng;
use rand::rngs::StdRng;

use super::draft::{Draft, Pool};
use super::{Actor, CHILDREN, PARENTS, texts};
use crate::source::Row;
use crate::value::Value;

struct Parent {
    name: String,
    children: Vec<i64>,
}

struct Child {
    parent: i64,
    payload: String,
}

pub(super) struct Family {
    parents: Pool<Parent>,
    children: Pool<Child>,
    max_chars: usize,
}

impl Actor for Family {
    fn seed(&mut self, rng: &mut StdRng, draft: &mut Draft, rows: usize) {
        while self.parents.len() + self.children.len() < rows {
            let parent = self.add_parent(rng, draft);
            for _ in 0..rng.random_range(0..4) {
                self.add_child(rng, draft, parent);
            }
        }
    }

    fn act(&mut self, rng: &mut StdRng, draft: &mut Draft) {
        let room = draft.room();
        match rng.random_range(0..8) {
            0 | 1 => {
                let parent = self.add_parent(rng, draft);
                for _ in 0..rng.random_range(0..4).min(draft.room()) {
                    self.add_child(rng, draft, parent);
                }
            }
            2 if room >= 2 => {
                if let Some(parent) = self.parents.pick(rng) {
                    self.add_child(rng, draft, parent);
                }
            }
            3 if room >= 2 => {
                if let Some(child) = self.children.pick(rng) {
                    self.delete_child(draft, child);
                }
            }
            4 => {
                if let Some(child) = self.children.pick(rng) {
                    self.children.get_mut(child).payload = texts::text(rng, self.max_chars);
                    self.put_child(draft, child);
                }
            }
            5 if room >= 3 => {
                if let (Some(child), Some(to)) = (self.children.pick(rng), self.parents.pick(rng)) {
                    self.move_child(draft, child, to);
                }
            }
            6 => self.hand_over(rng, draft),
            _ => self.delete_parent_with_children(rng, draft),
        }
    }
}

impl Family {
    pub(super) fn new(max_chars: usize) -> Self {
        Self { parents: Pool::new(1), children: Pool::new(1), max_chars }
    }

    fn add_parent(&mut self, rng: &mut StdRng, draft: &mut Draft) -> i64 {
        let id = self.parents.free_id(rng);
        self.parents.insert(id, Parent { name: texts::text(rng, self.max_chars), children: Vec::new() });
        self.put_parent(draft, id);
        id
    }

    fn add_child(&mut self, rng: &mut StdRng, draft: &mut Draft, parent: i64) {
        let id = self.children.free_id(rng);
        self.children.insert(id, Child { parent, payload: texts::text(rng, self.max_chars) });
        self.parents.get_mut(parent).children.push(id);
        self.put_child(draft, id);
        self.put_parent(draft, parent);
    }

    fn delete_child(&mut self, draft: &mut Draft, id: i64) {
        let parent = self.children.remove(id).parent;
        self.parents.get_mut(parent).children.retain(|&child| child != id);
        draft.delete(CHILDREN, &[Value::int8(id)]);
        self.put_parent(draft, parent);
    }

    fn move_child(&mut self, draft: &mut Draft, id: i64, to: i64) {
        let from = std::mem::replace(&mut self.children.get_mut(id).parent, to);
        self.parents.get_mut(from).children.retain(|&child| child != id);
        self.parents.get_mut(to).children.push(id);
        self.put_child(draft, id);
        self.put_parent(draft, from);
        self.put_parent(draft, to);
    }

    /// Deletes a parent whose children go to another one, in one transaction: a target that deletes before
    /// it updates breaks the foreign key, and so does one that inserts a child before its new parent.
    fn hand_over(&mut self, rng: &mut StdRng, draft: &mut Draft) {
        let Some(from) = self.parents.pick(rng) else { return };
        let children = self.parents.get(from).children.clone();
        if children.len() + 2 > draft.room() {
            return;
        }
        let to = match self.parents.pick(rng) {
            Some(to) if to != from && rng.random_bool(0.5) => to,
            Some(_) | None => self.add_parent(rng, draft),
        };
        for child in children {
            self.move_child(draft, child, to);
        }
        self.parents.remove(from);
        draft.delete(PARENTS, &[Value::int8(from)]);
    }

    fn delete_parent_with_children(&mut self, rng: &mut StdRng, draft: &mut Draft) {
        let Some(parent) = self.parents.pick(rng) else { return };
        let children = self.parents.get(parent).children.clone();
        if children.len() + 1 > draft.room() {
            return;
        }
        for child in children {
            self.delete_child(draft, child);
        }
        self.parents.remove(parent);
        draft.delete(PARENTS, &[Value::int8(parent)]);
    }

    fn put_parent(&self, draft: &mut Draft, id: i64) {
        let parent = self.parents.get(id);
        let count = i64::try_from(parent.children.len()).expect("a parent has few children");
        draft.put(
            PARENTS,
            Row::new(vec![Value::int8(id), Value::text_value(&parent.name), Value::int8(count)]),
        );
    }

    fn put_child(&self, draft: &mut Draft, id: i64) {
        let child = self.children.get(id);
        let values = vec![Value::int8(id), Value::int8(child.parent), Value::text_value(&child.payload)];
        draft.put(CHILDREN, Row::new(values));
    }
}
